"""A run reads the table versions that its own jobs wrote, whatever lands meanwhile."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import QUICK_TRAINING, SMALL_NETWORK, Workspace

from jobs.driver.runs.registry import read_json
from jobs.driver.tables.warehouse import Warehouse

PREPARE = ["extract_features", "tokenize_captions", "build_examples"]


@pytest.fixture
def landing(spark, tmp_path) -> Workspace:
    settings = [
        "extractor.pooling=avg",
        "examples.shards=2",
        "storage.format=parquet",
        "train.epochs=1",
        "sample.side=64",
    ]
    workspace = Workspace(tmp_path, [*SMALL_NETWORK, *QUICK_TRAINING, *settings])
    workspace.run("draw_sample", "sample.photos=20")
    return workspace


@pytest.mark.slow
def test_an_overlapping_run_trains_and_is_scored_on_its_own_snapshot(landing):
    """The second run's jobs pass between those of the first; each keeps to the data that it began with."""
    outcomes = {name: landing.run(name, "run.id=first") for name in PREPARE[:2]}
    landing.run("draw_sample", "sample.photos=40")
    for name in PREPARE:
        outcomes[f"second {name}"] = landing.run(name, "run.id=second")
    outcomes["build_examples"] = landing.run("build_examples", "run.id=first")
    landing.run("draw_sample", "sample.photos=50")
    landing.run("tokenize_captions")
    assert outcomes["build_examples"].metrics["photos"]["train"] == 16
    assert outcomes["second build_examples"].metrics["photos"]["train"] == 32
    assert outcomes["build_examples"].metrics["training"] != outcomes["second build_examples"].metrics["training"]

    for run, photos, tested in (("first", 16, 2), ("second", 32, 4)):
        trained = landing.run("train", f"run.id={run}")
        assert trained.rows_in == photos
        assert landing.run("evaluate", f"run.id={run}").rows_in == tested
        line = read_json(f"file://{landing.folder}/runs/{run}/train.json")
        built = outcomes["build_examples" if run == "first" else "second build_examples"]
        assert line["versions"]["examples"] == built.version
        vocabulary = read_json(f"file://{landing.folder}/runs/{run}/vocabulary.json")
        size = landing.table("vocabulary").read(line["versions"]["vocabulary"]).count()
        assert len(vocabulary["tokens"]) == size
    both = [
        read_json(f"file://{landing.folder}/runs/{run}/vocabulary.json")["fingerprint"] for run in ("first", "second")
    ]
    assert both[0] != both[1]


@pytest.mark.parametrize("storage", ["delta", "parquet"])
def test_two_writers_at_once_lose_no_row(spark, tmp_path, storage):
    """Each writer's commits conflict with the other's; who comes second starts again from the first one's rows."""

    def write(writer: int) -> dict[int, dict]:
        session = spark.newSession()
        table = Warehouse(session, str(tmp_path), storage).table("animals")
        notes = {}
        for number in range(4):
            row = session.createDataFrame([(f"{writer}/{number}", number)], "name string, legs int")
            note = {"writer": writer, "number": number}
            notes[table.upsert(row, ["name"], note, "legs")] = note
        return notes

    with ThreadPoolExecutor(2) as writers:
        first, second = writers.map(write, range(2))
    table = Warehouse(spark, str(tmp_path), storage).table("animals")
    assert {row.name for row in table.read().collect()} == {
        f"{writer}/{number}" for writer in (0, 1) for number in range(4)
    }
    assert not first.keys() & second.keys()
    assert all(table.provenance(version) == note for version, note in {**first, **second}.items())
