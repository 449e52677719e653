"""The files in a folder of photos: every file that the store lists is a row.

Files of a local folder are listed and read by Python, so names that Spark hides (`_DSC0001.jpg`), takes for a pattern or cannot
parse (`10:30:12.jpg`) are photos like any other. On other stores Spark reads the files; those that it leaves out are rows that
cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from uuid import uuid4

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.driver.corpus.forms.caption import PICTURE
from jobs.driver.spark.hadoop_files import HadoopFiles, ListedFile, escaped
from udfs.photo_files import HASHED_SCHEMA, hash_files, with_contents

# Beside such files, only files with the suffix of a picture count as photos.
TEXT_FILES = re.compile(
    r"\.token\.txt$|captions.*\.(txt|csv)$|\.(csv|tsv|jsonl|ndjson)$|(captions|annotations|dataset_).*\.json$"
)
NOT_READ = "Spark does not read it: its name begins with _ or ., or has a colon"
ROWS_PER_TASK = 500  # files that a task hashes


def photo_names(spark: SparkSession, folder: str) -> list[ListedFile]:
    """Lists the photos of a folder on the driver, ordered by name, with empty and unreadable files."""
    return photos_among(HadoopFiles(spark).files_below(folder))


def photos_among(files: list[ListedFile]) -> list[ListedFile]:
    """The photos of a listing: all files; only those with the suffix of a picture if captions are among them."""
    if not any(TEXT_FILES.search(file.name) for file in files):
        return files
    return [file for file in files if re.search(rf"{PICTURE}$", file.name, re.IGNORECASE)]


def photo_ids(spark: SparkSession, names: list[ListedFile]) -> DataFrame:
    """image_id, length and problem (null if the file can be read) of listed photos."""
    table = pa.table({
        "image_id": pa.array([printable(file.name) for file in names], pa.string()),
        "length": pa.array([file.length for file in names], pa.int64()),
        "problem": pa.array([file.problem or None for file in names], pa.string()),
    })  # fmt: skip
    if not names:
        return spark.createDataFrame([], "image_id string, length long, problem string")
    return spark.createDataFrame(table)


def printable(name: str) -> str:
    """A file's name with `\\xNN` for each byte that is not UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def hashed_photos(spark: SparkSession, folder: str, max_bytes: int) -> DataFrame:
    """Lists and hashes the photos of a folder.

    Returns:
        Rows of HASHED_SCHEMA: image_id, length, content_hash (SHA-256; null for files that are empty, larger than
        max_bytes or unreadable) and problem (why a file cannot be read).
    """
    storage = HadoopFiles(spark)
    if local := storage.local(folder):
        names = photo_names(spark, folder)
        tasks = max(1, min(len(names) // ROWS_PER_TASK, 100 * spark.sparkContext.defaultParallelism))
        rows = photo_ids(spark, names).repartition(max(tasks, spark.sparkContext.defaultParallelism))
        return rows.mapInArrow(partial(hash_files, local, max_bytes, uuid4().hex), HASHED_SCHEMA)
    files = remote_files(spark, folder)
    small = F.col("length") <= max_bytes
    no_text = F.lit(None).cast("string")
    columns = ["image_id", "length", "content_hash", "problem"]
    hashed = files.where(small).withColumns({"content_hash": F.sha2("content", 256), "problem": no_text})
    large = files.where(~small).withColumns({"content_hash": no_text, "problem": no_text})
    read = hashed.select(columns).unionByName(large.select(columns))
    if files.count() == storage.file_count(folder):
        return read
    left_out = photo_ids(spark, photo_names(spark, folder)).join(files.select("image_id"), "image_id", "left_anti")
    problem = F.when(F.col("length") > 0, F.lit(NOT_READ))
    return read.unionByName(left_out.withColumns({"content_hash": no_text, "problem": problem}).select(columns))


def map_contents(
    rows: DataFrame,
    folder: str,
    work: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    schema: str,
    max_bytes: int,
    tasks: int | None = None,
) -> DataFrame:
    """Applies a function to photos with their contents.

    Args:
        rows: image_id and further columns.
        folder: The folder of the photos.
        work: Maps Arrow batches of `rows` with the column `content` to batches of the schema. A batch holds at most
            `spark.sql.execution.arrow.maxRecordsPerBatch` photos.
        schema: The schema of its results.
        max_bytes: Files that are larger have no content.
        tasks: The number of tasks for a local folder; on other stores, Spark's reader decides.
    """
    spark = rows.sparkSession
    if local := HadoopFiles(spark).local(folder):
        rows = rows.repartition(tasks) if tasks else rows
        return rows.mapInArrow(partial(with_contents, local, max_bytes, work), schema)
    files = remote_files(spark, folder).where(F.col("length") <= max_bytes)
    joined = files.join(F.broadcast(rows), "image_id")
    return joined.select(*rows.columns, "content").mapInArrow(work, schema)


def remote_files(spark: SparkSession, folder: str) -> DataFrame:
    """image_id, length and content of the photos that Spark reads itself."""
    prefix = HadoopFiles(spark).qualified(folder).rstrip("/") + "/"
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(escaped(folder))
    rows = files.select(_below(prefix, F.col("path")).alias("image_id"), "length", "content")
    if any(TEXT_FILES.search(name) for name, is_folder in HadoopFiles(spark).children(folder) if not is_folder):
        rows = rows.where(F.lower("image_id").rlike(rf"{PICTURE}$"))
    return rows


def _below(prefix: str, path: Column) -> Column:
    return F.substring(path, len(prefix) + 1, 2**31 - 1)
