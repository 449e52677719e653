"""Ids of runs, and the latest run."""

import os

import pytest
from conftest import Workspace

from jobs.driver.command import Outcome, perform
from jobs.driver.runs.registry import latest_run, require_run_id, run_folder
from jobs.driver.runs.trained_run import named_run
from udfs.errors import InputError

VALID = ["7d0a4b0f1c2e", "retrain_manual--2026-01-01T00-00-00-00-00", "frugal-every-step-0", "thesis", "1", "v1.2_b"]
INVALID = [
    "", "it's", "a/b", "..", ".hidden", "_champions", "-x", "a b", "a\\b", 'a"b', "a\n", "a\x00", "über", "a:b", "a%2Fb", "a*",
]  # fmt: skip


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path, [])


def add_run(workspace: Workspace, run_id: str, saved: float) -> None:
    """A finished run whose model was saved at a time, in seconds since 1970."""
    folder = workspace.folder / "runs" / run_id
    folder.mkdir(parents=True)
    for name in ("run.json", "model.keras"):
        (folder / name).write_text("{}")
        os.utime(folder / name, (saved, saved))


@pytest.mark.parametrize("run_id", VALID)
def test_ids_that_name_a_folder_are_accepted(workspace, run_id):
    assert require_run_id(run_id) == run_id
    assert run_folder(workspace.job("test").settings, run_id).uri == f"file://{workspace.folder}/runs/{run_id}"


@pytest.mark.parametrize("run_id", INVALID)
def test_other_ids_are_refused_by_name(workspace, run_id):
    with pytest.raises(InputError, match=r"^compare\.runs: found .*; change compare\.runs$"):
        require_run_id(run_id, "compare.runs")
    with pytest.raises(InputError, match=r"^run\.id: found "):
        run_folder(workspace.job("test").settings, run_id)


@pytest.mark.parametrize("name", ["auto", "latest", "champion"])
def test_a_name_is_no_id(workspace, name):
    with pytest.raises(InputError, match=rf"^run\.id: found {name}, expected the id of one run"):
        run_folder(workspace.job("test").settings, name)


def test_a_job_with_a_wrong_id_does_no_work(workspace):
    work_done = []

    def work(job) -> Outcome:
        work_done.append(job.name)
        return Outcome()

    with pytest.raises(InputError, match=r'^run\.id: found "it\'s"'):
        perform(workspace.job("test", "run.id=it's"), work)
    assert not work_done
    perform(workspace.job("test", "run.id=its"), work)
    assert work_done == ["test"]


def test_the_latest_run_is_the_one_whose_model_was_saved_last(workspace, caplog):
    for run_id, saved in (("a", 1000.5), ("c", 3000), ("b", 2000)):
        add_run(workspace, run_id, saved)
    (workspace.folder / "runs" / "unfinished").mkdir()
    (workspace.folder / "runs" / "_judged").mkdir()
    os.utime(workspace.folder / "runs" / "a" / "run.json")  # something else in the folder is newer
    job = workspace.job("test")
    assert latest_run(job.settings) == "c"
    caplog.set_level("INFO")
    for name in ("auto", "latest"):
        run = named_run(job, name)
        assert (run.id, run.files.uri) == ("c", f"file://{workspace.folder}/runs/c")
    assert named_run(job, "b").id == "b"
    assert caplog.messages == ["run.id=auto: the latest run is c", "run.id=latest: the latest run is c"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("auto", r"run\.id: found no finished run in .*jobs/train\.py"),
        ("latest", r"run\.id: found no finished run in .*jobs/train\.py"),
        ("champion", r"run\.id: found champion, but no run in .* has been promoted yet"),
        ("absent", r"run\.id: no trained model in .*absent"),
        ("it's", r"run\.id: found \"it's\", expected letters"),
    ],
)
def test_a_run_that_is_not_there_is_named(workspace, name, message):
    (workspace.folder / "runs" / "unfinished").mkdir(parents=True)
    with pytest.raises(InputError, match=message):
        named_run(workspace.job("test"), name)
