"""The Spark session of a job. The master, memory and jars are spark-submit's to set, never the job's."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

from pyspark import SparkContext, SparkFiles
from pyspark.sql import SparkSession

from conf import Settings
from jobs.driver.spark.spark_home import DELTA_SETTINGS, packages_flag
from udfs.errors import InputError

DELTA_CLASS = "io.delta.sql.DeltaSparkSessionExtension"


def open_session(name: str, settings: Settings) -> SparkSession:
    """The session that spark-submit prepared, with what a job needs on top. Raises InputError without Delta's jars."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # started by python, which does not read spark.pyspark.python
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    shows_stages = sys.stderr.isatty() and name != "train"  # training has a bar of its own
    builder = SparkSession.builder.appName(name).config("spark.ui.showConsoleProgress", str(shows_stages).lower())
    spark = SparkSession.getActiveSession() or builder.getOrCreate()
    _import_wheels(spark.sparkContext)
    if settings.storage.format == "delta":
        require_delta(spark)
    slots = spark.sparkContext.defaultParallelism
    given = {key for key, _ in spark.sparkContext.getConf().getAll()}
    if "spark.sql.shuffle.partitions" not in given:
        spark.conf.set("spark.sql.shuffle.partitions", max(4, 2 * slots))
    if "spark.databricks.delta.snapshotPartitions" not in given:
        # Delta reads its log in 50 tasks, which takes longer than the tables of a small corpus.
        spark.conf.set("spark.databricks.delta.snapshotPartitions", max(2, min(50, slots)))
    return spark


@contextmanager
def arrow_batches(spark: SparkSession, rows: int):
    """Bounds the rows that executors' Python gets at a time in what is computed inside."""
    key = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(key)
    spark.conf.set(key, rows)
    try:
        yield
    finally:
        spark.conf.set(key, before)


def _import_wheels(context: SparkContext) -> None:
    """Lets executors import from the wheels of `--py-files`; Spark sends them, but imports only from .zip, .egg and .jar."""
    for path in context.getConf().get("spark.submit.pyFiles", "").split(","):
        if path.endswith(".whl"):
            wheel = Path(SparkFiles.get(os.path.basename(path)))
            archive = wheel.with_suffix(".zip")
            if not archive.exists():  # the jobs of run_pipeline share a session
                shutil.copyfile(wheel, archive)
                context.addPyFile(str(archive))


def require_delta(spark: SparkSession) -> None:
    """Raises InputError where the session cannot write Delta tables."""
    loader = spark.sparkContext._jvm.java.lang.Thread.currentThread().getContextClassLoader()
    try:
        loader.loadClass(DELTA_CLASS)
    except Exception as error:
        if "ClassNotFoundException" not in str(error):
            raise
        raise InputError(
            f"storage.format=delta: Spark has no Delta jars; run `make setup`, add `{packages_flag()}` to spark-submit, "
            "or set storage.format=parquet"
        ) from error
    if DELTA_CLASS not in (spark.conf.get("spark.sql.extensions", "") or ""):
        flags = " ".join(f"--conf {key}={value}" for key, value in DELTA_SETTINGS.items())
        raise InputError(f"storage.format=delta: Delta's jars are there but its extension is off; add `{flags}`")
