"""What the tests share: one Spark session, a drawn corpus, jobs run as a user would set them, and the list of skipped tests."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import conf

if TYPE_CHECKING:  # tests of a single module shall not import Spark and all jobs
    from jobs.driver.command import Outcome
    from jobs.driver.job import Job

ROOT = Path(__file__).parent.parent
# Drawn examples are the same ones each time; `pytest --hypothesis-profile=explore` looks for new ones.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile("repeatable")
# A network that is quick to build and run, with weights that need no file. Untrained, its values shrink from block to block:
# those of its last layer, 1e-10, are too small for 16 bits.
SMALL_NETWORK = [
    "extractor.name=mobilenet_v2", "extractor.weights=random:0", "extractor.layer=block_3_expand_relu",
    "extractor.pooling=avg",
]  # fmt: skip
# As little as every part of an explanation needs.
QUICK_EXPLANATION = [
    "explain.smooth_samples=2", "explain.occlusion_patch=112", "explain.occlusion_stride=112", "explain.curve_steps=2",
    "explain.random_orders=2", "explain.batch_size=16",
]  # fmt: skip

# A test is slow if it uses one of these fixtures, or if its module imports one of these names.
SLOW_FIXTURES = {"delta_pipeline", "parquet_pipeline", "pipeline", "real_photos"}  # they train
SLOW_HELPERS = {
    "Gang",
    "train_to_the_end",
    "spark_submit",
    "settings_for",
    "environment",
}  # they start several processes


def pytest_collection_modifyitems(items):
    for item in items:
        if SLOW_HELPERS & vars(item.module).keys() or SLOW_FIXTURES & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)


def skipped_tests(config: pytest.Config) -> list[tuple[str, str]]:
    """(reason, test) of each skipped test."""
    reports = config.pluginmanager.get_plugin("terminalreporter").stats.get("skipped", [])
    return sorted((report.longrepr[2].removeprefix("Skipped: "), report.nodeid) for report in reports)


def fails_on_skips(config: pytest.Config) -> bool:
    """On CI nothing may be skipped: whatever a test needs has to be installed there."""
    return os.environ.get("CI", "").lower() in ("1", "true") and bool(skipped_tests(config))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session, exitstatus):
    if exitstatus == pytest.ExitCode.OK and fails_on_skips(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter, config):
    """Ends the report with what was skipped and why."""
    yield
    skipped = skipped_tests(config)
    if skipped:
        terminalreporter.section("skipped tests", yellow=True)
    for reason, tests in groupby(skipped, key=lambda entry: entry[0]):
        terminalreporter.line(reason)
        for _, test in tests:
            terminalreporter.line(f"    {test}")
    if fails_on_skips(config):
        terminalreporter.line(
            f"FAILED: CI is set, and {len(skipped)} tests were skipped; install what they need", red=True
        )


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
        .config("spark.sql.parquet.columnarReaderBatchSize", "128")  # these two as jobs set them
        .config("spark.sql.inMemoryColumnarStorage.batchSize", "128")
        .getOrCreate()
    )
    yield session
    session.stop()


def session_settings() -> dict[str, str]:
    """The settings of the active Spark session, except the one in which Delta reports its last commit."""
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    rows = session.sql("SET").collect() if session else []
    return {row.key: row.value for row in rows if row.key != "spark.databricks.delta.lastCommitVersionInSession"}


@dataclass
class Workspace:
    """A corpus, a warehouse and a runs folder, and jobs run on them inside the tests' own Spark session."""

    folder: Path
    overrides: list[str]

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus"

    def job(self, name: str, *overrides: str) -> Job:
        from jobs.driver.job import Job

        return Job(name, conf.load(None, [*self.arguments(), *overrides]))

    def arguments(self) -> list[str]:
        return [
            f"corpus.root={self.corpus}",
            f"paths.warehouse={self.folder / 'warehouse'}",
            f"paths.runs={self.folder / 'runs'}",
            *self.overrides,
        ]

    def run(self, name: str, *overrides: str) -> Outcome:
        """Runs a job; it must leave the settings of the session as they were."""
        from jobs.driver.command import perform

        before = session_settings()
        outcome, _ = perform(self.job(name, *overrides), importlib.import_module(f"jobs.{name}").main)
        assert session_settings() == before, f"{name} changed settings of the session"
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
    from jobs.driver.job import Job

    folder = tmp_path_factory.mktemp("drawn") / "corpus"
    overrides = [f"corpus.root={folder}", "sample.photos=40", "sample.side=64"]
    importlib.import_module("jobs.draw_sample").main(Job("draw_sample", conf.load(None, overrides)))
    return folder


@pytest.fixture
def workspace(spark, tmp_path, drawn) -> Workspace:
    shutil.copytree(drawn, tmp_path / "corpus")
    return Workspace(tmp_path, [*SMALL_NETWORK, "extractor.pooling=avg", "examples.shards=4"])


JOBS = ["extract_features", "tokenize_captions", "build_examples", "train", "evaluate"]
QUICK_TRAINING = [
    "train.epochs=4", "train.batch_size=8", "optimizer.learning_rate=0.02", "model.embedding_dim=16", "model.lstm_units=16",
]  # fmt: skip


def run_pipeline(
    folder: Path, drawn: Path, storage: str, more: tuple[str, ...] = ()
) -> tuple[Workspace, dict[str, Outcome]]:
    (folder / "corpus").symlink_to(drawn)
    workspace = Workspace(
        folder,
        [
            *SMALL_NETWORK,
            "extractor.pooling=avg",
            "examples.shards=3",
            f"storage.format={storage}",
            *QUICK_TRAINING,
            *more,
        ],
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


FLICKR8K = Path(os.environ.get("FLICKR8K", ROOT.parent / "shared" / "flickr8k"))


@pytest.fixture(scope="session")
def real_photos(spark, tmp_path_factory) -> Workspace:
    """The first 320 training and 40 development photos of Flickr8k with their captions, through the real jobs."""
    if not FLICKR8K.is_dir():
        pytest.skip(f"no photos in {FLICKR8K}; name Flickr8k's folder with FLICKR8K")
    folder = tmp_path_factory.mktemp("flickr8k")
    images = folder / "corpus" / "images"
    images.mkdir(parents=True)
    for split, count in {"train": 320, "dev": 40}.items():
        (listed,) = FLICKR8K.glob(f"*{split}Images.txt")
        names = listed.read_text().split()[:count]
        (folder / "corpus" / listed.name).write_text("\n".join(names) + "\n")
        for name in names:
            (images / name).symlink_to((FLICKR8K / "images" / name).resolve())
    kept = {path.name for path in images.iterdir()}
    (captions,) = FLICKR8K.glob("*.token.txt")
    lines = [line for line in captions.read_text().splitlines() if line.split("#")[0] in kept]
    (folder / "corpus" / captions.name).write_text("\n".join(lines) + "\n")
    workspace = Workspace(folder, [*SMALL_NETWORK, "text.min_count=2", "storage.format=parquet"])
    for name in ("extract_features", "tokenize_captions", "build_examples"):
        workspace.run(name)
    return workspace


@dataclass
class Finished:
    code: int
    stdout: str
    stderr: str


def spark_submit(job: str, *arguments: str, flags: tuple[str, ...] = (), cwd: Path = ROOT) -> Finished:
    """The real command, from the environment that runs the tests, with a JVM that compiles quickly."""
    quick = "--driver-java-options=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    command = [
        str(Path(sys.executable).parent / "spark-submit"),
        quick,
        *flags,
        str(ROOT / "jobs" / f"{job}.py"),
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=os.environ, timeout=600)
    return Finished(done.returncode, done.stdout, done.stderr)
