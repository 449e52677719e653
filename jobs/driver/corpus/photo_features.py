"""Lists the photos of a folder, and computes their features on the executors."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, partial

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf import Settings
from jobs.driver.corpus.configured_extractor import probe
from jobs.driver.corpus.feature_tables import holds_cells, log_replaced, require_cells
from jobs.driver.corpus.photo_listing import hashed_photos, map_contents
from jobs.driver.job import Job
from jobs.driver.spark.session import spark_settings
from jobs.driver.tables.quarantine import quarantine
from jobs.driver.tables.store import TableStore
from udfs.errors import InputError
from udfs.vision.decode import PhotoLimits
from udfs.vision.extraction_task import RESULT_SCHEMA, extract
from udfs.vision.extractor import Extractor

# Bytes that Spark adds to a file's size when it packs files into tasks: so many that only the number of photos counts.
OPEN_COST = 2**36
BATCHES_A_TASK = 8
ROUNDS = 4  # tasks for each slot, if there are enough photos, because slots may differ in speed
KEYS = ["image_id", "extractor"]


@dataclass(frozen=True)
class PhotoFolder:
    """The files in a folder of photos.

    Attributes:
        uri: The folder.
        files: A row for each file: image_id, length (bytes), content_hash and problem, as `list_photos` returns them;
            persisted.
        count: Number of files.
    """

    uri: str
    files: DataFrame
    count: int

    @cached_property
    def readable(self) -> DataFrame:
        """The files that are neither empty, nor too large, nor unreadable."""
        return self.files.where(F.col("content_hash").isNotNull())

    @cached_property
    def unreadable(self) -> DataFrame:
        """The files that are empty, too large or unreadable."""
        return self.files.where(F.col("content_hash").isNull())


@dataclass(frozen=True)
class Extraction:
    """What `update_features` did: the version of the table `features`, the numbers of photos, and the numbers of notes on them.

    A note, such as `greyscale`, tells why a photo that was written had to be converted: see `udfs.vision.decode.Photo`.
    """

    version: int
    photos: int
    written: int
    unchanged: int
    quarantined: int
    notes: dict[str, int]


def photo_limits(settings: Settings) -> PhotoLimits:
    """Which pictures the configuration refuses."""
    return PhotoLimits(settings.corpus.max_pixels, settings.corpus.min_side, settings.corpus.strict)


def list_photos(job: Job, folder: str) -> DataFrame:
    """image_id, length (bytes), content_hash (SHA-256; null for files that are empty, too large or unreadable) and problem."""
    return hashed_photos(job.spark, folder, job.settings.corpus.max_bytes)


def open_photo_folder(job: Job, folder: str, key: str) -> PhotoFolder:
    """Lists a folder of photos. Raises InputError, which names the configuration key, if it holds no files."""
    listed = list_photos(job, folder).persist(StorageLevel.DISK_ONLY)
    count = listed.count()
    if not count:
        raise InputError(f"{key}: found no files in {folder}, expected photos; check the path")
    return PhotoFolder(folder, listed, count)


def update_features(job: Job, photos: PhotoFolder, extractor: Extractor, weights: str | None) -> Extraction:
    """Brings the table `features` up to date with the photos of a folder, and quarantines those that cannot be used.

    Args:
        job: The job, whose name the quarantine records.
        photos: The folder of the photos.
        extractor: The network.
        weights: The name of its weights file on the executors; None for random weights.

    Raises:
        InputError: If the folder holds no usable photo, or the table is of an earlier version and `extractor.recompute` does
            not allow to replace it.
    """
    table, recompute = job.warehouse.table("features"), job.settings.extractor.recompute
    is_old = table.version() is not None and not holds_cells(table.read())
    if is_old and not recompute:
        require_cells(table.read(), f"{job.warehouse.prefix}features")
    new = photos.readable
    if table.version() is not None and not recompute:
        known = table.read().where(F.col("extractor") == extractor.fingerprint).select("image_id", "content_hash")
        new = new.join(known, ["image_id", "content_hash"], "left_anti")
    new = new.persist(StorageLevel.DISK_ONLY)
    unchanged = photos.count - new.count() - photos.unreadable.count()
    computed = compute_features(job, photos, new, extractor, weights)
    written, notes = _count_written(job, computed)
    refused = quarantine(job, refusals(job.settings, photos, computed))
    rows = _table_rows(photos, computed, extractor)
    if (is_old or table.version() is None) and not written:
        raise InputError(
            f"corpus.root: all {photos.count} files in {photos.uri} were refused; the table quarantine holds the reasons"
        )
    version, provenance = table.version(), {"extractor": extractor.fingerprint}
    if is_old:
        log_replaced(job, "features")
        version = table.replace(rows.where("feature IS NOT NULL"), provenance)
    elif written or _has_refused(table, rows):
        version = table.upsert(rows, KEYS, provenance, tombstone="feature")
    return Extraction(version, photos.count, written, unchanged, refused, notes)


def compute_features(
    job: Job, photos: PhotoFolder, new: DataFrame, extractor: Extractor, weights: str | None
) -> DataFrame:
    """The features, or the refusals, of some photos of a folder.

    Args:
        job: The job.
        photos: The folder.
        new: image_id and content_hash of the photos to compute, persisted.
        extractor: The network.
        weights: The name of its weights file on the executors; None for random weights.

    Returns:
        Rows in the extractor's RESULT_SCHEMA, computed and persisted.
    """
    spark, settings = job.spark, job.settings
    count, batch_size = new.count(), settings.extractor.batch_size
    if not count:
        return spark.createDataFrame([], RESULT_SCHEMA)
    cores = int(spark.conf.get("spark.task.cpus", "1"))
    shape = probe(spark, extractor, weights, cores)
    job.log.info(f"{count} photos to compute with {extractor.name}, {extractor.layer} {shape}, {extractor.precision}")
    rows = new.select("image_id", "content_hash")
    work = partial(extract, extractor, weights, photo_limits(settings), batch_size, cores)
    tasks, max_bytes = task_count(spark, count, batch_size), settings.corpus.max_bytes
    with even_tasks(spark, photos.count, batch_size):
        computed = map_contents(rows, photos.uri, work, RESULT_SCHEMA, max_bytes, tasks)
        computed = computed.persist(StorageLevel.DISK_ONLY)
        computed.count()
    return computed


def task_count(spark: SparkSession, photos: int, batch_size: int) -> int:
    """The number of tasks for photos: a multiple of the task slots, so that every slot is busy to the end."""
    slots = spark.sparkContext.defaultParallelism
    batches_a_slot = math.ceil(photos / (batch_size * slots))
    return slots * max(math.ceil(batches_a_slot / BATCHES_A_TASK), min(ROUNDS, batches_a_slot), 1)


def even_tasks(spark: SparkSession, photos: int, batch_size: int) -> AbstractContextManager[None]:
    """A context in which Spark packs photos into tasks of equal size whose number is a multiple of the task slots.

    So every slot is busy to the end: 96 photos in batches of 32 would leave one of two slots idle for a third of the time.
    A task costs about 0.15 s in addition to its photos, so with many photos a task holds up to BATCHES_A_TASK batches.

    Args:
        spark: The session.
        photos: Number of files in the folder.
        batch_size: Photos in a batch, which is also the number of rows that Python gets at a time.
    """
    tasks = task_count(spark, photos, batch_size)
    task_bytes = max(1, math.ceil(photos / tasks)) * OPEN_COST - OPEN_COST // 2
    packing = {
        "spark.sql.files.openCostInBytes": OPEN_COST,
        "spark.sql.files.maxPartitionBytes": task_bytes,
        "spark.sql.execution.arrow.maxRecordsPerBatch": batch_size,
    }
    return spark_settings(spark, packing)


def refusals(settings: Settings, photos: PhotoFolder, computed: DataFrame) -> DataFrame:
    """The quarantine rows of the photos that were not decoded or not read: source, key, reason, details."""
    unreadable = F.when(F.col("problem").isNotNull(), "unreadable_file")
    reason = unreadable.when(F.col("length") == 0, "empty_file").otherwise("too_many_bytes")
    size = F.concat(F.col("length"), F.lit(f" bytes; corpus.max_bytes={settings.corpus.max_bytes}"))
    details = F.coalesce("problem", size)
    columns = [F.lit(photos.uri).alias("source"), F.col("image_id").alias("key"), "reason", "details"]
    not_read = photos.unreadable.withColumns({"reason": reason, "details": details}).select(columns)
    return not_read.unionByName(computed.where("feature IS NULL").select(columns))


def _count_written(job: Job, computed: DataFrame) -> tuple[int, dict[str, int]]:
    """The number of features, and of each note on their photos, which is logged with an example."""
    groups = (
        computed.where("feature IS NOT NULL")
        .groupBy("notes")
        .agg(F.count("*").alias("photos"), F.min("image_id").alias("example"))
    )
    written, notes = 0, Counter()
    for group in groups.orderBy("notes").collect():
        written += group.photos
        notes.update(dict.fromkeys(group.notes, group.photos))
        if group.notes:
            job.log.info(f"{group.photos} photos used in spite of {', '.join(group.notes)}, such as {group.example}")
    return written, dict(sorted(notes.items()))


def _table_rows(photos: PhotoFolder, computed: DataFrame, extractor: Extractor) -> DataFrame:
    """Rows for the table `features`. A refused photo has a null feature, which removes its earlier row."""
    refused = photos.unreadable.select("image_id", "content_hash")
    return computed.unionByName(refused, allowMissingColumns=True).select(
        "image_id", F.lit(extractor.fingerprint).alias("extractor"), "feature", "feature_shape", "content_hash"
    )


def _has_refused(table: TableStore, rows: DataFrame) -> bool:
    """Whether the table holds features of photos that are refused now."""
    if table.version() is None:
        return False
    refused = rows.where("feature IS NULL").select(KEYS)
    return not table.read().join(refused, KEYS, "left_semi").isEmpty()
