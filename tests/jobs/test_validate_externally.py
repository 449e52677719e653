"""Training and evaluated photos side by side, on drawn photos: the whole job, leakage that was planted, a second corpus."""

import json
import shutil

import pytest
from PIL import Image

from jobs import report
from jobs.driver.command import perform
from jobs.driver.corpus.photo_features import list_photos
from jobs.driver.job import Job
from jobs.driver.validity.near_duplicates import find_near_duplicates, photo_hashes
from jobs.driver.validity.population import named_objects, nouns, token_table
from udfs.errors import InputError


def test_a_resized_copy_of_a_training_photo_is_found(spark, workspace):
    images = workspace.corpus / "images"
    copy = images / "holiday é #1.jpg"
    Image.open(images / "scene_000000.jpg").resize((91, 77)).save(copy, quality=60)
    (images / "broken.jpg").write_bytes(b"no picture")
    job = workspace.job("validate_externally", "storage.format=parquet")
    rows = list_photos(job, f"file://{images}").persist()
    hashes = photo_hashes(job, f"file://{images}", rows).persist()
    assert hashes.count() == 41  # all but the broken one
    training, other = (hashes.where(f"image_id {sign} '{copy.name}'") for sign in ("!=", "="))
    (found,) = find_near_duplicates(training, other, 8).to_dict("records")
    assert (found["image_id"], found["twin"]) == (copy.name, "scene_000000.jpg")
    version = job.warehouse.table("photo_hashes").version()
    photo_hashes(job, f"file://{images}", rows)
    assert job.warehouse.table("photo_hashes").version() == version  # nothing new, nothing read


def test_words_are_counted_with_their_frames(spark):
    rows = [("1", "a dog on the grass"), ("1", "the dog is black"), ("2", "two dogs run"), ("2", "a black dog")]
    training = spark.createDataFrame(
        [(name, text.split()) for name, text in rows], "image_id string, words array<string>"
    )
    tokens = token_table(training, training.where("image_id = '2'"))
    assert tokens.loc["dog", ["training", "training_photos", "other", "other_photos", "framed"]].tolist() == [
        3,
        2,
        1,
        1,
        2,
    ]
    assert tokens.loc["black", "framed"] == 0
    assert nouns(tokens, least=1) == ["dog", "grass"]
    found = named_objects(training, ["dog", "grass"]).collect()
    assert sorted((row.image_id, row.token) for row in found) == [("1", "dog")]  # others are in one of two captions


@pytest.fixture(scope="module")
def validated(delta_pipeline):
    workspace, outcomes = delta_pipeline
    outcome = workspace.run("validate_externally", "external.min_photos=2", "external.bins=2")
    return workspace, outcomes, outcome


def test_the_split_is_compared_and_the_page_shows_it(validated):
    workspace, outcomes, outcome = validated
    assert (outcome.rows_in, outcome.written, outcome.quarantined) == (4, 4, 0)
    folder = workspace.folder / "runs" / outcomes["evaluate"].run
    found = json.loads((folder / "external" / "test.json").read_text())
    assert found["captions"]["training"]["photos"] == 32
    assert found["captions"]["evaluation"]["photos"] == 4
    assert found["captions"]["evaluation"]["out_of_vocabulary"] == pytest.approx(0, abs=0.2)
    whole = next(group for group in found["groups"] if group["kind"] == "all")
    assert whole["bleu4"] == pytest.approx(outcomes["evaluate"].metrics["bleu4"])
    assert sum(group["photos"] for group in found["groups"] if group["kind"] == "distance") == 4
    assert found["distances"]["neighbours"]["control_photos"] == 4
    page = (folder / "report" / "index.html").read_text()
    assert outcomes["evaluate"].metrics["report"].endswith("/report/index.html")
    assert "Training photos against the split" in page
    assert page.count("data:image/jpeg") >= 4


def test_again_it_does_nothing(validated):
    workspace, _, outcome = validated
    again = workspace.run("validate_externally", "external.min_photos=2", "external.bins=2")
    assert (again.written, again.unchanged, again.metrics) == (0, outcome.written, outcome.metrics)


def test_a_second_corpus_with_and_without_captions(validated, drawn, tmp_path):
    workspace, outcomes, _ = validated
    images = tmp_path / "other" / "photos"
    images.mkdir(parents=True)
    for number in range(2, 40, 5):
        shutil.copy(drawn / "images" / f"scene_{number:06}.jpg", images / f"{number}.jpg")
    lines = [f"{number}.jpg#{n}\tA red zeppelin over {n} hills .\n" for number in range(2, 40, 5) for n in (0, 1)]
    text = images.parent / "some.token.txt"
    text.write_text("".join(lines))
    found = workspace.run("validate_externally", f"external.root={images.parent}").metrics
    assert found["look_alikes"] >= 6  # copies of training photos; two more of others
    assert any("zeppelin" in line for line in found["gaps"])
    text.unlink()
    alone = workspace.run("validate_externally", f"external.root={images.parent}").metrics
    assert any("no captions" in line for line in alone["verdict"])
    files = sorted((workspace.folder / "runs" / outcomes["evaluate"].run / "external").iterdir())
    assert len(files) == 2


@pytest.mark.parametrize(("split", "words"), [("dev", r"'dev'.*jobs/evaluate\.py"), ("train", "dev or test")])
def test_what_cannot_be_compared_is_named(delta_pipeline, split, words):
    workspace, _ = delta_pipeline
    with pytest.raises(InputError, match=rf"evaluate\.split.*{words}"):
        workspace.run("validate_externally", f"evaluate.split={split}")


def test_one_command_writes_the_whole_page(validated):
    """What was done before is left as it is, and the page has all of it."""
    workspace, outcomes, _ = validated
    quick = ["explain.photos_limit=1", "explain.sanity_photos=0", "explain.smooth_samples=1", "explain.curve_steps=2",
             "explain.random_orders=1", "explain.occlusion_patch=112", "explain.occlusion_stride=112"]  # fmt: skip
    settings = workspace.job("report", "external.min_photos=2", "external.bins=2", *quick).settings
    found = {name: perform(Job(name, settings), work)[0] for name, work in report.STEPS.items()}
    assert {outcome.run for outcome in found.values()} == {outcomes["evaluate"].run}
    assert [outcome.written for outcome in found.values()] == [0, 0, 1]
    page = (workspace.folder / "runs" / outcomes["evaluate"].run / "report" / "index.html").read_text()
    assert "Training photos against the split" in page
    assert "jobs/explain.py" not in page  # the hint where there are no explanations
