"""Explanations of drawn photos through the real job: what is written, counted, refused, and not done twice."""

import json
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlparse

import pytest
from conftest import QUICK_EXPLANATION, Workspace
from PIL import Image

from jobs.driver.corpus.configured_extractor import resolve_extractor
from jobs.driver.runs.registry import run_folder
from udfs.captioner.model import build_captioner
from udfs.captioner.shape import CaptionerShape
from udfs.errors import InputError
from udfs.explain.task import file_stem

HOSTILE = "<b>..%2F..\\ [a*] {1}?.jpg"


# The first layers of a network, which are quick to compile.
CUT = ["extractor.name=mobilenet_v2", "extractor.weights=random:0", "extractor.layer=block_3_expand_relu"]
WORDS = ["<pad>", "<start>", "<end>", "<unk>", "red", "<script>", "näht", "a", "dog"]
MAX_LENGTH = 3
METHODS = ("grad_cam", "smooth_grad", "occlusion")  # of a captioner that does not attend


def save_run(workspace: Workspace, name: str) -> None:
    """A run as training leaves it, of a captioner with initial weights, made larger so that its captions differ."""
    import keras

    settings = workspace.job("explain").settings
    extractor, _ = resolve_extractor(settings, "")
    keras.utils.set_random_seed(1)
    captioner = build_captioner(CaptionerShape(len(WORDS), (144,), embedding_dim=8, lstm_units=8))
    for variable in captioner.trainable_variables:
        variable.assign(variable * 4)
    captioner.get_layer("logits").bias.assign([-100.0 * (word == "<end>") for word in WORDS])
    folder = Path(urlparse(run_folder(settings, name).uri).path)
    folder.mkdir(parents=True)
    captioner.save(folder / "model.keras")
    record = {"extractor": extractor.fingerprint, "network": asdict(extractor)}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "vocabulary.json").write_text(json.dumps({"tokens": WORDS, "max_length": MAX_LENGTH}))


@pytest.fixture(scope="module")
def explained(spark, drawn, tmp_path_factory):
    """Two good photos and four bad ones, explained: the workspace, the arguments and the outcome."""
    workspace = Workspace(tmp_path_factory.mktemp("explain"), [*CUT, "extractor.pooling=avg", "storage.format=parquet"])
    save_run(workspace, "small")
    folder = tmp_path_factory.mktemp("photos")
    first, second = sorted((drawn / "images").iterdir())[:2]
    (folder / "b").mkdir()
    (folder / "b" / "scene.jpg").write_bytes(first.read_bytes())
    (folder / HOSTILE).write_bytes(second.read_bytes())
    (folder / "a_truncated.jpg").write_bytes(first.read_bytes()[:700])
    (folder / "c_text.jpg").write_text("no picture")
    (folder / "d_empty.jpg").touch()
    (folder / "e_large.jpg").write_bytes(first.read_bytes() + bytes(100_000))
    chosen = ["run.id=small", f"photos={folder}", "corpus.max_bytes=90000"]
    arguments = [*QUICK_EXPLANATION, *chosen, "explain.photos_limit=10", "explain.sanity_photos=1"]
    return workspace, arguments, workspace.run("explain", *arguments)


def output_of(outcome) -> Path:
    return Path(urlparse(outcome.metrics["output"]).path)


def test_every_photo_is_explained_or_refused(explained):
    workspace, _, outcome = explained
    assert (outcome.rows_in, outcome.written, outcome.quarantined) == (6, 2, 4)
    assert workspace.reasons("explain") == {
        "a_truncated.jpg": "truncated", "c_text.jpg": "not_an_image", "d_empty.jpg": "empty_file",
        "e_large.jpg": "too_many_bytes",
    }  # fmt: skip


def test_the_index_names_every_picture(explained):
    outcome, output = explained[2], output_of(explained[2])
    index = json.loads((output / "explanations.json").read_text())
    assert [photo["image"] for photo in index["photos"]] == [HOSTILE, "b/scene.jpg"]
    pictures = {index["filters"]}
    for photo in index["photos"]:
        assert photo["caption"].split() == [word["word"] for word in photo["words"]]
        assert len(photo["words"]) == MAX_LENGTH
        for number, word in enumerate(photo["words"]):
            assert 0 < word["probability"] <= 1
            assert len(word["earlier_words"]) == number
            assert set(word["insertion"]) == set(word["deletion"]) == {*METHODS, "random"}
        pictures |= {photo["strip"], photo["feature_maps"]}
    assert {path.name for path in output.iterdir()} == {*pictures, "explanations.json"}
    for name in pictures:
        with Image.open(output / name) as picture:
            picture.load()
            assert min(picture.size) > 50
    assert outcome.metrics["words"] == sum(len(photo["words"]) for photo in index["photos"])
    assert output.parent.parent.name == outcome.run


def test_the_first_photo_is_checked_with_randomised_weights(explained):
    checked = explained[2].metrics["rank_correlation_with_randomised"]
    assert set(checked) == {"captioner", "and_half_of_extractor", "everything"}
    for stage in checked.values():
        assert all(-1 <= stage[method] < 0.99 for method in METHODS)


def test_again_there_is_nothing_to_do(explained):
    workspace, arguments, outcome = explained
    again = workspace.run("explain", *arguments)
    assert (again.rows_in, again.written, again.unchanged, again.quarantined) == (6, 0, 2, 4)
    assert again.metrics == outcome.metrics


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("photos=/nowhere/at.jpg", "explain.photos: /nowhere/at.jpg is no file"),
        ("photos=/nowhere/list.txt", "explain.photos: /nowhere/list.txt cannot be read"),
        ("extractor.run_weights=random:1", "extractor.run_weights: random:1 has the hash"),
        ("run.id=champion", "no run in .* has been promoted"),
        ("run.id=missing", "run.id: no trained model"),
        ("explain.occlusion_stride=0", "explain.occlusion_stride"),
    ],
)
def test_what_cannot_be_explained_is_named(explained, override, message):
    workspace, arguments, _ = explained
    with pytest.raises(InputError, match=message):
        workspace.run("explain", *arguments, "explain.seed=1", override)


def test_without_a_run_id_the_latest_run_is_explained(explained, caplog):
    """The same run and settings as before, so nothing is computed again."""
    workspace, arguments, outcome = explained
    caplog.set_level("INFO")
    again = workspace.run("explain", *arguments, "run.id=auto")
    assert (again.run, again.written, again.unchanged) == ("small", 0, outcome.written)
    assert "run.id=auto: the latest run is small" in caplog.messages


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..", "a/../../b.png", "\x00/\n", "/", "", "ü/日本.jpg", "x" * 5000, "\udcff"]
)
def test_file_names_stay_in_their_folder(name):
    stem = file_stem(name)
    assert stem.replace("-", "").replace("_", "").isalnum()
    assert stem.isascii()
    assert len(stem) < 80
    assert stem != file_stem(name + "x")
