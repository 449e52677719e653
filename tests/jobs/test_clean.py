"""Housekeeping: what is old goes, and what a promoted run or one in training needs stays."""

import os
import time

import pytest
from conftest import Workspace

from jobs.driver.runs.registry import record_run, run_folder, write_json
from udfs import files

WEEK = 7 * 24 * 60 * 60


@pytest.fixture(params=["delta", "parquet"])
def aged(request, spark, tmp_path) -> Workspace:
    """Three runs with checkpoints a week old, of which `best` is promoted, and a table of four versions."""
    workspace = Workspace(tmp_path, [f"storage.format={request.param}"])
    versions = [workspace.table("examples").replace(spark.range(number), {}) for number in (10, 20, 30, 40)]
    for run, finished in (("best", True), ("other", True), ("training", False)):
        folder = run_folder(workspace.job("test").settings, run).uri
        for name in ("model.keras", "checkpoints/step-000000001.npz", "checkpoints/step-000000001.npz.12ab.tmp"):
            files.write_bytes(f"{folder}/{name}", b"-")
        write_json(f"{folder}/run.json", {"identity": {"run": run}})
        if finished:
            write_json(f"{folder}/train.json", {"versions": {"examples": versions[1]}, "metrics": {}})
        for path, _, names in os.walk(tmp_path / "runs" / run):
            for name in names:
                os.utime(os.path.join(path, name), (time.time() - WEEK,) * 2)
    (tmp_path / "runs" / "training" / "metrics.jsonl").write_text("written just now")
    record_run(workspace.job("train"), "best", "", {}, {}, "trained")
    workspace.run("promote", "run=best")
    return workspace


def checkpoints(workspace: Workspace) -> set[str]:
    return {path.parent.parent.name for path in (workspace.folder / "runs").glob("*/checkpoints/*.npz")}


def test_what_a_promoted_run_needs_stays(aged):
    examples = aged.table("examples")
    first, needed = (examples.version() - back for back in (3, 2))
    counted = aged.run("clean", "clean.keep_days=1").metrics["to_delete"]
    assert (counted["checkpoints"], counted["leftovers"]) == (1, 2)
    assert checkpoints(aged) == {"best", "other", "training"}, "a dry run deletes nothing"
    assert list((aged.folder / "runs").rglob("*.tmp"))

    done = aged.run("clean", "clean.keep_days=1", "clean.apply=true")
    assert done.metrics["deleted"] == counted
    assert checkpoints(aged) == {"best", "training"}
    assert (aged.folder / "runs" / "other" / "model.keras").exists()
    assert not list((aged.folder / "runs").rglob("*.tmp"))
    assert examples.read(first).count() == 10, "all versions are younger than a day"

    aged.run("clean", "clean.keep_days=0", "clean.apply=true")
    assert (examples.read(needed).count(), examples.read().count()) == (20, 40)
    assert examples.version() == needed + 2, "cleaning makes no version, which would look like new data"


def test_versions_that_nobody_needs_go(aged):
    examples = aged.table("examples")
    first = examples.version() - 3
    (aged.folder / "runs" / "_champions" / "00000001.json").unlink()
    counted = aged.run("clean", "clean.keep_days=0").metrics["to_delete"]["examples"]
    assert counted > 0
    assert examples.read(first).count() == 10
    assert aged.run("clean", "clean.keep_days=0", "clean.apply=true").metrics["deleted"]["examples"] == counted
    with pytest.raises(Exception, match=r"(?i)not found|does not exist|no such file"):
        examples.read(first).collect()
    assert examples.read().count() == 40
    assert aged.run("clean", "clean.keep_days=0").metrics["to_delete"]["examples"] == 0
