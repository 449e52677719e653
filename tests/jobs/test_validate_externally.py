"""Training and evaluated photos compared, on drawn photos: the whole job, and a second corpus."""

import json
import shutil

import pytest

from jobs import report
from jobs.driver.command import perform
from jobs.driver.job import Job
from udfs.errors import InputError


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
    quick = ["explain.photos_limit=4", "explain.sanity_photos=0", "explain.smooth_samples=1", "explain.curve_steps=2",
             "explain.random_orders=1", "explain.occlusion_patch=112", "explain.occlusion_stride=112"]  # fmt: skip
    settings = workspace.job("report", "external.min_photos=2", "external.bins=2", *quick).settings
    found = {name: perform(Job(name, settings), work)[0] for name, work in report.STEPS.items()}
    assert {outcome.run for outcome in found.values()} == {outcomes["evaluate"].run}
    assert [outcome.written for outcome in found.values()] == [0, 0, 4]
    page = (workspace.folder / "runs" / outcomes["evaluate"].run / "report" / "index.html").read_text()
    assert "Training photos against the split" in page
    assert "jobs/explain.py" not in page  # the hint where there are no explanations
    assert page.count("Not available yet") == 1
    assert "jobs/gate.py" in page  # which is another command
