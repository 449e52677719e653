"""A job as a command: what goes to standard output and to standard error, and the exit codes. No job here needs Spark."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT, Finished

PROGRAM = """
from jobs.driver.command import Outcome, run_job
from udfs.errors import InputError

def main(job):
    import logging
    job.log.debug("a detail")
    job.log.info("a message")
    job.log.warning("a warning")
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("trouble")
    {ending}

run_job(main, "A small job.")
"""
DONE = 'return Outcome(run="one", rows_in=3, written=2, quarantined=1, metrics={"n": 1})'


@pytest.fixture
def command(tmp_path):
    def run(ending: str, *arguments: str) -> Finished:
        script = tmp_path / "small.py"
        script.write_text(PROGRAM.format(ending=ending))
        line = [sys.executable, str(script), f"paths.runs={tmp_path}/runs", *arguments]
        done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=120, env=environment())
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_the_json_line_is_alone_on_standard_output(command, tmp_path):
    done = command(DONE)
    assert done.code == 0, done.stderr
    (text,) = done.stdout.splitlines()
    line = json.loads(text)
    seconds = line.pop("seconds")
    assert seconds >= 0
    assert line == {
        "job": "small", "table": None, "run": "one", "version": None, "rows_in": 3, "written": 2, "unchanged": 0,
        "quarantined": 1, "metrics": {"n": 1}, "versions": {},
    }  # fmt: skip
    assert (tmp_path / "runs" / "one" / "small.json").read_text() == text + "\n"
    assert done.stderr.splitlines() == ["small: a message", "small: a warning", "library: trouble"]


@pytest.mark.parametrize(
    ("level", "messages"),
    [
        ("debug", ["small: a detail", "small: a message", "small: a warning", "library: trouble"]),
        ("warning", ["small: a warning", "library: trouble"]),
        ("error", ["library: trouble"]),
    ],
)
def test_the_level_chooses_the_jobs_messages(command, level, messages):
    assert command(DONE, f"log.level={level}").stderr.splitlines() == messages


def test_a_wrong_input_ends_with_code_2_and_one_line(command):
    done = command('raise InputError("corpus.root: not\\nthere")', "log.level=error")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == "small: corpus.root: not there"
    assert "Traceback" not in done.stderr


def test_any_other_failure_ends_with_code_1_and_its_traceback(command):
    done = command('raise ValueError("broken")')
    assert (done.code, done.stdout) == (1, "")
    assert "small: failed\nTraceback" in done.stderr
    assert done.stderr.splitlines()[-1] == "ValueError: broken"


def test_rows_that_are_not_accounted_for_are_a_failure(command):
    done = command("return Outcome(rows_in=3, written=1)")
    assert done.code == 1
    assert "3 input rows, but 1 written + 0 unchanged + 0 quarantined = 1" in done.stderr
    assert done.stdout == ""


def test_a_wrong_key_ends_with_code_2(command):
    done = command(DONE, "log.levle=debug")
    assert done.code == 2
    assert done.stderr.startswith("small: log.levle: unknown key; the nearest known one is log.level")


def test_a_job_does_not_begin_in_an_environment_that_cannot_run_it(command, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPARK_LOCAL_DIRS", f"{tmp_path}/file/scratch")
    done = command(DONE)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"small: SPARK_LOCAL_DIRS: found {tmp_path}/file/scratch, where {tmp_path}/file cannot be written; "
        "name a folder that can be written"
    ]


def test_a_job_with_a_problem_has_its_json_line_and_code_2(command):
    done = command('return Outcome(problem="found 1 error")')
    assert (done.code, json.loads(done.stdout)["job"]) == (2, "small")
    assert "problem" not in json.loads(done.stdout)
    assert done.stderr.splitlines()[-1] == "small: found 1 error"
