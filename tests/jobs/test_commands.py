"""The jobs as commands: what a user, a scheduler or a script sees of them."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
from conftest import ROOT, SMALL_NETWORK, spark_submit


def arguments(folder: Path, corpus: Path) -> list[str]:
    return [f"corpus.root={corpus}", f"paths.warehouse={folder}/warehouse", f"paths.runs={folder}/runs", *SMALL_NETWORK,
            "extractor.pooling=avg"]  # fmt: skip


def test_a_bare_command_writes_a_delta_table_and_ends_with_its_json_line(tmp_path, drawn):
    done = spark_submit("tokenize_captions", *arguments(tmp_path, drawn), cwd=tmp_path)
    assert done.code == 0, done.stderr
    line = json.loads(done.stdout.splitlines()[-1])
    assert {key: line[key] for key in ("job", "table", "rows_in", "written", "unchanged", "quarantined")} == {
        "job": "tokenize_captions", "table": "tokens", "rows_in": 200, "written": 200, "unchanged": 0, "quarantined": 0,
    }  # fmt: skip
    assert line["version"] == 0
    assert line["seconds"] > 0
    assert line["metrics"]["vocabulary_size"] > 10
    assert (tmp_path / "warehouse" / "tokens" / "_delta_log").is_dir()


def test_a_wrong_key_ends_with_code_2_and_one_line(tmp_path):
    done = spark_submit("train", "train.epoch=3")
    assert done.code == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(
        "train: train.epoch: unknown key; the nearest known one is train.epochs"
    )


def test_a_missing_corpus_ends_with_code_2_and_one_line(tmp_path):
    done = spark_submit("extract_features", *arguments(tmp_path, tmp_path / "absent"))
    assert done.code == 2
    assert "absent not found; set corpus.root" in done.stderr.splitlines()[-1]


def test_without_delta_jars_the_flag_to_add_is_named(tmp_path, drawn):
    done = spark_submit("tokenize_captions", *arguments(tmp_path, drawn), flags=("--conf", "spark.jars="))
    assert done.code == 2
    assert "--packages io.delta:delta-spark_2.13:4.0.1" in done.stderr.splitlines()[-1]


def python_worker_seconds(process: subprocess.Popen) -> float:
    """The processor time that the Python workers of a job's executors have used."""
    seconds = 0.0
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "pyspark.daemon" in " ".join(child.cmdline()):
                seconds += sum(child.cpu_times()[:2])
    return seconds


def wait_for_computation(process: subprocess.Popen) -> None:
    """Returns once executors compute features: after the job has announced that, their Python workers have used 0.3 s more."""
    announced = next((line for line in process.stderr if "photos to compute" in line), None)
    assert announced, "the job ended before it computed anything"
    before, until = python_worker_seconds(process), time.monotonic() + 120
    while python_worker_seconds(process) < before + 0.3:
        assert process.poll() is None, "the job ended before it could be killed"
        assert time.monotonic() < until, "the executors compute nothing"
        time.sleep(0.02)


def test_a_killed_job_leaves_the_last_version(tmp_path, drawn, spark):
    """The driver is killed while executors compute features; the table stays as it was, and a rerun completes it."""
    from conftest import Workspace

    workspace = Workspace(tmp_path, [*SMALL_NETWORK, "extractor.pooling=avg"])
    (tmp_path / "corpus").symlink_to(drawn)
    command = [str(Path(sys.executable).parent / "spark-submit"), str(ROOT / "jobs" / "extract_features.py")]
    process = subprocess.Popen(
        [*command, *workspace.arguments()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for_computation(process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the job was still at work"
    assert workspace.table("features").version() is None
    assert workspace.run("extract_features").written == 40
