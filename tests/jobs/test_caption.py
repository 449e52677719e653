"""New photos: a folder of them through jobs/caption.py, and one at a time without Spark."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Workspace
from PIL import Image

from jobs.driver.tables.caption_output import SCHEMA, caption_output
from udfs.captioning import caption_photo, resolve_run_extractor
from udfs.errors import InputError
from udfs.vision.decode import PhotoRefused

AWKWARD = 'deep/er/ a "photo", so to say #1%20.png'


@pytest.fixture
def finished(parquet_pipeline, tmp_path) -> tuple[Workspace, str, dict[str, str]]:
    """A workspace that has a champion and photos, but no tables; the champion's folder; and captions known to be its."""
    pipeline, outcomes = parquet_pipeline
    name = outcomes["train"].run
    workspace = Workspace(tmp_path, [])
    shutil.copytree(pipeline.folder / "runs" / name, tmp_path / "runs" / name)
    (tmp_path / "runs" / "_champions").mkdir()
    promotion = {"number": 1, "run": name, "previous": None, "reasons": [], "metrics": {}}
    (tmp_path / "runs" / "_champions" / "00000001.json").write_text(json.dumps(promotion))
    predictions = pipeline.table("predictions").read().where(f"run_id = '{name}' AND split = 'test'").collect()
    known = {row.image_id: row.hypothesis for row in predictions}
    (tmp_path / "photos").mkdir()
    for photo in known:
        shutil.copy(pipeline.corpus / "images" / photo, tmp_path / "photos")
    return workspace, str(tmp_path / "runs" / name), known


def rows(workspace: Workspace, place: Path, form: str) -> dict[str, tuple]:
    spark = workspace.job("test").spark
    found = caption_output(spark, str(place), form).read()
    assert found.schema.simpleString() == spark.createDataFrame([], SCHEMA).schema.simpleString()
    return {row.photo: (row.caption, row.reason) for row in found.collect()}


def test_a_folder_is_captioned_and_only_what_is_new_again(finished, tmp_path):
    workspace, run, known = finished
    photos, arguments = tmp_path / "photos", [f"photos={tmp_path}/photos", f"caption.output={tmp_path}/out"]
    first = workspace.run("caption", *arguments)
    assert (first.rows_in, first.written, first.unchanged, first.quarantined) == (4, 4, 0, 0)
    assert rows(workspace, tmp_path / "out", "csv") == {name: (caption, None) for name, caption in known.items()}
    assert not (tmp_path / "warehouse").exists(), "no table is made or needed"
    assert [path.suffix for path in (tmp_path / "out").glob("part-*")] == [".csv"]

    again = workspace.run("caption", *arguments)
    assert (again.written, again.unchanged, again.quarantined) == (0, 4, 0)

    (photos / AWKWARD).parent.mkdir(parents=True)
    Image.new("RGB", (64, 64), "red").save(photos / AWKWARD)
    Image.new("RGB", (64, 64), "blue").save(photos / sorted(known)[0], "PNG")
    (photos / sorted(known)[1]).unlink()
    (photos / "notes.txt").write_text("no photo")
    (photos / "empty.jpg").write_bytes(b"")
    third = workspace.run("caption", *arguments)
    assert (third.rows_in, third.written, third.unchanged, third.quarantined) == (6, 2, 2, 2)
    assert third.metrics["refused"] == {"empty_file": 1, "not_an_image": 1}
    found = rows(workspace, tmp_path / "out", "csv")
    assert {name: reason for name, (_, reason) in found.items() if reason} == {
        "notes.txt": "not_an_image", "empty.jpg": "empty_file",
    }  # fmt: skip
    assert sorted(found) == sorted([AWKWARD, "notes.txt", "empty.jpg", sorted(known)[0], *sorted(known)[2:]])
    assert found[AWKWARD] == (caption_photo(str(photos / AWKWARD), run), None)
    fourth = workspace.run("caption", *arguments)
    assert (fourth.written, fourth.unchanged, fourth.quarantined) == (0, 4, 2)
    greedy = workspace.run("caption", *arguments, "decoding.beam_width=1")
    assert (greedy.written, greedy.unchanged, greedy.quarantined) == (4, 0, 2), "another search is another caption"


def test_without_a_champion_the_latest_run_captions(finished, tmp_path, caplog):
    workspace, run, known = finished
    shutil.rmtree(tmp_path / "runs" / "_champions")
    caplog.set_level("INFO")
    done = workspace.run("caption", f"photos={tmp_path}/photos", f"caption.output={tmp_path}/out")
    assert (done.run, done.written) == (Path(run).name, len(known))
    assert f"run.id=auto: the latest run is {Path(run).name}" in caplog.messages
    assert rows(workspace, tmp_path / "out", "csv") == {name: (caption, None) for name, caption in known.items()}
    with pytest.raises(InputError, match=r"no run in .* has been promoted yet"):
        workspace.run("caption", f"photos={tmp_path}/photos", "run=champion")


@pytest.mark.parametrize("form", ["json", "parquet", "delta"])
def test_every_format_holds_the_same(finished, tmp_path, form):
    workspace, _, known = finished
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"bad")
    arguments = [f"photos={tmp_path}/photos", f"caption.output={tmp_path}/out", f"caption.format={form}"]
    done = workspace.run("caption", *arguments)
    assert (done.written, done.quarantined) == (4, 1)
    expected = {name: (caption, None) for name, caption in known.items()} | {"bad.jpg": (None, "not_an_image")}
    assert rows(workspace, tmp_path / "out", form) == expected
    assert workspace.run("caption", *arguments).unchanged == 4


def test_a_photo_is_captioned_without_spark(finished, tmp_path):
    """In a process of its own, as in a notebook, with only relative paths and no Spark session."""
    _, run, known = finished
    program = (
        "import sys, json\n"
        "from udfs.captioning import caption_photo\n"
        "from pyspark import SparkContext\n"
        "captions = {photo: caption_photo('photos/' + photo, sys.argv[1]) for photo in sys.argv[2:]}\n"
        "assert SparkContext._active_spark_context is None and SparkContext._gateway is None\n"
        "print(json.dumps(captions))"
    )
    command = [sys.executable, "-c", program, str(Path(run).relative_to(tmp_path)), *known]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == known


def test_bad_photos_and_runs_are_refused_one_by_one(finished, tmp_path):
    _, run, _ = finished
    with pytest.raises(PhotoRefused, match="not_an_image"):
        caption_photo(b"no photo", run)
    with pytest.raises(InputError, match=r"no run\.json in .*absent"):
        caption_photo(b"", str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], r"caption\.photos: found none"),
        (["photos={0}/absent"], r"caption\.photos: .*absent is not a folder"),
        (["photos={0}/some [old] photos"], r"caption\.photos: found no files in .*some \[old\] photos"),
        (["photos={0}/photos", "caption.output={0}/photos"], r"caption\.output: found something in .*photos"),
        (["photos={0}/photos", "caption.output={0}/photos", "caption.format=delta"], r"caption\.output: found something"),
        (["photos={0}/photos", "extractor.run_weights=random:1"],
         r"extractor\.run_weights: random:1 has the hash .*expected random:0"),
        (["photos={0}/photos", "extractor.run_weights=/absent.h5"], r"extractor\.run_weights: /absent\.h5 cannot be read"),
        (["photos={0}/photos", "run=absent"], r"run\.id: no trained model in .*absent"),
    ],
)  # fmt: skip
def test_what_cannot_be_captioned_is_refused(finished, tmp_path, overrides, words):
    workspace, _, known = finished
    (tmp_path / "some [old] photos").mkdir()
    settings = [f"caption.output={tmp_path}/out", *(override.format(tmp_path) for override in overrides)]
    with pytest.raises(InputError, match=words):
        workspace.run("caption", *settings)
    assert sorted(path.name for path in (tmp_path / "photos").iterdir()) == sorted(known)


def test_weights_must_be_those_of_the_training(finished, tmp_path):
    """A run of a weights file that was replaced, one that was tampered with, and one from before networks were kept."""
    _, run, _ = finished
    path = Path(run) / "run.json"
    record = json.loads(path.read_text())
    (tmp_path / "other.h5").write_bytes(b"other weights")
    with pytest.raises(
        InputError, match=r"extractor\.run_weights: .*other\.h5 has the hash [0-9a-f]{64}, expected random:0"
    ):
        resolve_run_extractor(run, str(tmp_path / "other.h5"), str(tmp_path), "extractor.run_weights")
    path.write_text(json.dumps({**record, "network": {**record["network"], "pooling": "none"}}))
    with pytest.raises(InputError, match=r"run\.json: its network is .*expected mobilenet_v2"):
        resolve_run_extractor(run, "auto", str(tmp_path), "extractor.run_weights")
    path.write_text(json.dumps({key: value for key, value in record.items() if key != "network"}))
    with pytest.raises(InputError, match="earlier version, train again"):
        resolve_run_extractor(run, "auto", str(tmp_path), "extractor.run_weights")
