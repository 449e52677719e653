"""Three runs of the whole DAG with the real Airflow, on 40 drawn photos and a small network with random weights."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from airflow_environment import AIRFLOW, environment
from conftest import Workspace

# A captioner that learns its few training photos by heart, and is judged on them.
OVERRIDES = [
    "storage.format=parquet", "extractor.name=vgg16", "extractor.layer=block3_pool", "extractor.pooling=avg",
    "extractor.weights=random:0", "text.min_count=1", "examples.shards=2", "evaluate.split=train",
    "corpus.validation_split=train", "train.batch_size=10", "optimizer.learning_rate=0.01", "train.epochs=30",
    "model.embedding_dim=32", "model.lstm_units=64", "model.dropout=0", "bootstrap.resamples=200",
]  # fmt: skip


class Retraining:
    """An Airflow with a database of its own, and the DAG run in it on one corpus."""

    def __init__(self, folder: Path):
        self.folder, self.runs = folder, folder / "runs"
        self.workspace = Workspace(folder, ["sample.side=64", *OVERRIDES])
        self.environment = environment(folder / "airflow", CAPTIONER_RETRY_SECONDS="1", SPARK_MASTER="local[2]")

    def start(self, *overrides: str) -> subprocess.Popen:
        """`airflow dags test`, whose output goes to a file."""
        own = [override for override in self.workspace.arguments() if not override.startswith("paths.runs=")]
        conf = {"runs": str(self.runs), "overrides": [*own, *overrides]}
        with open(self.folder / "output", "w") as output:
            return subprocess.Popen(
                [AIRFLOW, "dags", "test", "retrain_captioner", "--conf", json.dumps(conf)],
                env=self.environment, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def finish(self, process: subprocess.Popen) -> tuple[Path, dict[str, tuple[str, int]]]:
        """The folder of the run, and each task's state and number of tries."""
        code = process.wait(timeout=600)
        assert code == 0, (self.folder / "output").read_text()[-5000:]
        with sqlite3.connect(self.folder / "airflow" / "airflow.db") as database:
            (run,) = database.execute("SELECT run_id FROM dag_run ORDER BY id DESC LIMIT 1").fetchone()
            rows = database.execute(
                "SELECT task_id, state, try_number FROM task_instance WHERE run_id = ?", [run]
            ).fetchall()
        (folder,) = [
            path for path in self.runs.glob("retrain_*") if path.name[-20:] == run.translate({58: "-", 43: "-"})[-20:]
        ]
        return folder, {task: (state, tries) for task, state, tries in rows}

    def line(self, folder: Path, job: str) -> dict:
        return json.loads((folder / f"{job}.json").read_text())

    def champions(self) -> list[str]:
        return [json.loads(path.read_text())["run"] for path in sorted(self.runs.glob("_champions/*.json"))]


def kill_training(process: subprocess.Popen, runs: Path) -> str:
    """Kills training's spark-submit as soon as it has trained two epochs; returns their lines of metrics.jsonl."""
    while process.poll() is None:
        for metrics in runs.glob("*/metrics.jsonl"):
            if metrics.read_text().count("\n") >= 2:
                for child in psutil.Process(process.pid).children(recursive=True):
                    if child.name() == "java":
                        os.kill(child.pid, signal.SIGKILL)
                        return metrics.read_text()
        time.sleep(0.005)
    raise AssertionError("the DAG run ended before training could be killed")


@pytest.fixture
def retraining(tmp_path) -> Retraining:
    return Retraining(tmp_path)


def test_from_the_first_champion_to_a_challenger_that_is_not_promoted(retraining):
    retraining.workspace.run("draw_sample", "sample.photos=40")

    process = retraining.start()
    trained_before = kill_training(process, retraining.runs)
    first, tasks = retraining.finish(process)
    assert {state for state, _ in tasks.values()} == {"success"}
    assert tasks["train"] == ("success", 2), "Airflow tried the killed task again"
    metrics = (first / "metrics.jsonl").read_text()
    assert metrics.startswith(trained_before), "it went on from its checkpoint: finished epochs are not trained again"
    assert metrics.count("\n") == 30
    gate = retraining.line(first, "gate")["metrics"]
    assert gate["promoted"], gate["reasons"]
    assert retraining.champions() == [first.name]
    assert "**Promoted.**" in (first / "report" / "retraining.md").read_text()

    second, tasks = retraining.finish(retraining.start())
    assert {task for task, (state, _) in tasks.items() if state == "skipped"} == {"train", "evaluate", "gate"}
    assert tasks["publish"][0] == "success"
    assert retraining.line(second, "extract_features")["unchanged"] == 40
    assert "**Nothing new.**" in (second / "report" / "retraining.md").read_text()
    assert "nothing new: no table has changed" in (retraining.folder / "output").read_text()

    retraining.workspace.run("draw_sample", "sample.photos=50")
    third, tasks = retraining.finish(retraining.start("train.epochs=1"))
    assert {state for state, _ in tasks.values()} == {"success"}
    assert [retraining.line(third, "extract_features")[key] for key in ("written", "unchanged")] == [10, 40]
    gate = retraining.line(third, "gate")["metrics"]
    assert (gate["promoted"], gate["champion"]) == (False, first.name)
    assert gate["bleu4_difference"]["high"] < 0
    assert retraining.champions() == [first.name]
    assert f"the champion is {first.name}" in (third / "report" / "retraining.md").read_text()
