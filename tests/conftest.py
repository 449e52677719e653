"""What the tests share: one Spark session, a drawn corpus, and jobs run as a user would set them."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import conf
from jobs.driver.job import Job, Outcome

ROOT = Path(__file__).parent.parent
# A network that is quick to build and run, with weights that need no file.
SMALL_NETWORK = ["extractor.name=mobilenet_v2", "extractor.weights=random:0", "extractor.layer=default"]


@pytest.fixture(scope="session")
def spark():
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1")  # many short queries: compile them quickly
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.databricks.delta.snapshotPartitions", "2")
        .getOrCreate()
    )
    yield session
    session.stop()


@dataclass
class Workspace:
    """A corpus, a warehouse and a runs folder, and jobs run on them inside the tests' own Spark session."""

    folder: Path
    overrides: list[str]

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus"

    def job(self, name: str, *overrides: str) -> Job:
        return Job(name, conf.load(None, [*self.arguments(), *overrides]))

    def arguments(self) -> list[str]:
        return [
            f"corpus.root={self.corpus}",
            f"paths.warehouse={self.folder / 'warehouse'}",
            f"paths.runs={self.folder / 'runs'}",
            *self.overrides,
        ]

    def run(self, name: str, *overrides: str) -> Outcome:
        outcome = importlib.import_module(f"jobs.{name}").main(self.job(name, *overrides))
        outcome.check()
        return outcome

    def table(self, name: str):
        return self.job("test").warehouse.table(name)

    def reasons(self, job: str) -> dict[str, str]:
        """{key: reason} of what a job put into the quarantine."""
        rows = self.table("quarantine").read().where(f"job = '{job}'").collect()
        return {row.key: row.reason for row in rows}


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Path:
    """A drawn corpus of 40 small photos, to be copied and not changed."""
    folder = tmp_path_factory.mktemp("drawn") / "corpus"
    overrides = [f"corpus.root={folder}", "sample.photos=40", "sample.side=64"]
    importlib.import_module("jobs.draw_sample").main(Job("draw_sample", conf.load(None, overrides)))
    return folder


@pytest.fixture
def workspace(spark, tmp_path, drawn) -> Workspace:
    shutil.copytree(drawn, tmp_path / "corpus")
    return Workspace(tmp_path, [*SMALL_NETWORK, "extractor.pooling=avg", "examples.shards=4"])


JOBS = ["extract_features", "tokenize_captions", "build_examples", "train", "evaluate"]
QUICK_TRAINING = ["train.epochs=4", "train.batch_size=32", "model.embedding_dim=16", "model.lstm_units=16"]


def run_pipeline(folder: Path, drawn: Path, storage: str) -> tuple[Workspace, dict[str, Outcome]]:
    (folder / "corpus").symlink_to(drawn)
    workspace = Workspace(
        folder,
        [*SMALL_NETWORK, "extractor.pooling=avg", "examples.shards=3", f"storage.format={storage}", *QUICK_TRAINING],
    )
    return workspace, {name: workspace.run(name) for name in JOBS}


@pytest.fixture(scope="session")
def delta_pipeline(spark, drawn, tmp_path_factory):
    """Every job run on the drawn corpus, training as a real barrier stage: the workspace and each job's outcome."""
    return run_pipeline(tmp_path_factory.mktemp("delta"), drawn, "delta")


@pytest.fixture(scope="session")
def parquet_pipeline(spark, drawn, tmp_path_factory):
    """The same with Parquet tables."""
    return run_pipeline(tmp_path_factory.mktemp("parquet"), drawn, "parquet")


@dataclass
class Finished:
    code: int
    stdout: str
    stderr: str


def spark_submit(job: str, *arguments: str, flags: tuple[str, ...] = (), cwd: Path = ROOT) -> Finished:
    """The real command, from the environment that runs the tests, with a JVM that compiles quickly."""
    quick = "--driver-java-options=-XX:TieredStopAtLevel=1"
    command = [
        str(Path(sys.executable).parent / "spark-submit"),
        quick,
        *flags,
        str(ROOT / "jobs" / f"{job}.py"),
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=os.environ, timeout=600)
    return Finished(done.returncode, done.stdout, done.stderr)
