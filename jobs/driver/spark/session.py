"""The Spark session of a job. Only spark-submit sets the master, the memory and the jars; a job never does."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pyspark import SparkContext, SparkFiles
from pyspark.sql import SparkSession

from conf import Settings
from jobs.driver.environment.check import require_no_errors
from jobs.driver.environment.file_names import require_unicode_file_names
from jobs.driver.environment.session_checks import session_checks
from jobs.driver.spark.hadoop_files import absolute
from jobs.driver.spark.spark_home import DELTA_SETTINGS, packages_flag
from udfs.errors import InputError

DELTA_CLASS = "io.delta.sql.DeltaSparkSessionExtension"

ROWS_AT_A_TIME = 128  # that a task reads of a Parquet file, or gathers before it stores them
_checked: set[str] = set()
"""Ids of the applications whose session was checked by this process."""


def open_session(name: str, settings: Settings) -> SparkSession:
    """Returns the session that spark-submit prepared, with the settings that jobs need, after checking it.

    Args:
        name: The job's name, shown in Spark's UI.
        settings: The job's configuration.

    Raises:
        InputError: The session cannot run the jobs (see `jobs.driver.environment`), or the tables are Delta tables and the
            session has no Delta jars or no Delta extension.
    """
    spark = create_session(name)
    if spark.sparkContext.applicationId not in _checked:  # the jobs of run_pipeline share a session
        require_no_errors(session_checks(spark), logging.getLogger(name))
        _checked.add(str(spark.sparkContext.applicationId))
    # With another encoding, Hadoop would read and write places with question marks in their names.
    places = (settings.paths.warehouse, settings.paths.runs, settings.corpus.root)
    require_unicode_file_names(spark, map(absolute, places))
    if settings.storage.format == "delta":
        require_delta(spark)
    slots = spark.sparkContext.defaultParallelism
    configured = {key for key, _ in spark.sparkContext.getConf().getAll()}
    if "spark.sql.shuffle.partitions" not in configured:
        spark.conf.set("spark.sql.shuffle.partitions", max(4, 2 * slots))
    if "spark.databricks.delta.snapshotPartitions" not in configured:
        # Delta reads a table's log in 50 tasks, which take longer than reading the tables of a small corpus.
        spark.conf.set("spark.databricks.delta.snapshotPartitions", max(2, min(50, slots)))
    for key in ("spark.sql.parquet.columnarReaderBatchSize", "spark.sql.inMemoryColumnarStorage.batchSize"):
        # Spark reads 4,096 rows at a time, and stores 10,000: more than a gigabyte of maps of 125 kB in each task.
        if key not in configured:
            spark.conf.set(key, ROWS_AT_A_TIME)
    return spark


def create_session(name: str) -> SparkSession:
    """Returns the active session, or creates the one that spark-submit prepared; executors can import its wheels."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # plain python does not read spark.pyspark.python
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    shows_stages = sys.stderr.isatty() and name != "train"  # training shows its own progress bar
    builder = SparkSession.builder.appName(name).config("spark.ui.showConsoleProgress", str(shows_stages).lower())
    spark = SparkSession.getActiveSession() or builder.getOrCreate()
    _import_wheels(spark.sparkContext)
    return spark


@contextmanager
def spark_settings(spark: SparkSession, settings: Mapping[str, str | int | bool]) -> Iterator[None]:
    """Changes settings of the session for a `with` block, and restores them after it.

    A setting that had no value before is unset again. Spark evaluates tables lazily: the settings apply to what is executed
    inside the block, not to what is only defined there.

    Args:
        spark: The session.
        settings: {key: value}.

    Example:
        >>> with spark_settings(spark, {"spark.sql.files.maxPartitionBytes": 1 << 20}):
        ...     photos.count()
    """
    earlier = {key: spark.conf.get(key, None) for key in settings}
    try:
        for key, value in settings.items():
            spark.conf.set(key, value)
        yield
    finally:
        for key, earlier_value in earlier.items():
            if earlier_value is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, earlier_value)


@contextmanager
def arrow_batches(spark: SparkSession, rows: int) -> Iterator[None]:
    """Limits the rows in an Arrow batch, and so the memory of a Python worker, for what is executed in a `with` block."""
    with spark_settings(spark, {"spark.sql.execution.arrow.maxRecordsPerBatch": rows}):
        yield


def _import_wheels(context: SparkContext) -> None:
    """Makes the wheels of `--py-files` importable on executors: Spark distributes them, but imports only .zip, .egg and .jar."""
    for path in context.getConf().get("spark.submit.pyFiles", "").split(","):
        if path.endswith(".whl"):
            wheel = Path(SparkFiles.get(os.path.basename(path)))
            archive = wheel.with_suffix(".zip")
            if not archive.exists():  # the jobs of run_pipeline share a session
                shutil.copyfile(wheel, archive)
                context.addPyFile(str(archive))


def require_delta(spark: SparkSession) -> None:
    """Raises InputError if the session cannot write Delta tables."""
    loader = spark.sparkContext._jvm.java.lang.Thread.currentThread().getContextClassLoader()
    try:
        loader.loadClass(DELTA_CLASS)
    except Exception as error:
        if "ClassNotFoundException" not in str(error):
            raise
        raise InputError(
            f"storage.format=delta: found no Delta jars in Spark; run `make setup`, add `{packages_flag()}` to spark-submit, "
            "or set storage.format=parquet"
        ) from error
    if DELTA_CLASS not in (spark.conf.get("spark.sql.extensions", "") or ""):
        flags = " ".join(f"--conf {key}={value}" for key, value in DELTA_SETTINGS.items())
        raise InputError(
            f"storage.format=delta: found Delta's jars without its extension; add `{flags}` to spark-submit"
        )
