"""Extracts a feature vector of every photo with a network of keras.applications, into the table `features`.

Only photos whose content or extractor is new are computed. Photos that cannot be used go to the table `quarantine`.
"""

from __future__ import annotations

import math
import tempfile
from contextlib import contextmanager
from functools import partial

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.driver.corpus.extractors import probe, resolve_extractor, ship_weights
from jobs.driver.corpus.layouts import empty_photo_files, find_photos, photo_files
from jobs.driver.job import Job, Outcome, run_job
from jobs.driver.tables.quarantine import quarantine
from udfs.errors import InputError
from udfs.vision.decode import PhotoLimits
from udfs.vision.extraction_task import RESULT_SCHEMA, extract
from udfs.vision.extractor import Extractor

# Bytes that Spark adds to a file's size when it packs files into tasks: so many that only the number of photos counts.
OPEN_COST = 2**36
BATCHES_A_TASK = 8
ROUNDS = 4  # at least so many tasks a slot where there are photos enough, for slots that are not equally fast


def main(job: Job) -> Outcome:
    folder = find_photos(job.spark, job.settings)
    with tempfile.TemporaryDirectory() as scratch:  # executors may fetch the weights from here as long as the job runs
        extractor, weights_file = resolve_extractor(job.settings.extractor, scratch)
        return extract_folder(job, folder, extractor, ship_weights(job.spark, weights_file))


def extract_folder(job: Job, folder: str, extractor: Extractor, weights: str | None) -> Outcome:
    """Brings the table `features` up to date with the photos of a folder."""
    features = job.warehouse.table("features")
    listed = list_photos(job, folder).persist(StorageLevel.DISK_ONLY)
    photos = listed.count()
    if not photos:
        raise InputError(f"corpus.root: found no files in {folder}, expected photos; check the path")
    unread = listed.where(F.col("content_hash").isNull())
    new = listed.where(F.col("content_hash").isNotNull())
    if features.version() is not None and not job.settings.extractor.recompute:
        known = features.read().where(F.col("extractor") == extractor.fingerprint).select("image_id", "content_hash")
        new = new.join(known, ["image_id", "content_hash"], "left_anti")
    new = new.persist(StorageLevel.DISK_ONLY)
    to_do = new.count()
    unchanged = photos - to_do - unread.count()

    with even_tasks(job.spark, photos, job.settings.extractor.batch_size):
        computed = compute(job, folder, new, to_do, extractor, weights).persist(StorageLevel.DISK_ONLY)
        written = computed.where("feature IS NOT NULL").count()
    refused = quarantine(job, refusals(job, folder, unread, computed))
    rows = table_rows(computed, unread, extractor)
    if written or has_stale(features, rows):
        note = {"extractor": extractor.fingerprint}
        version = features.upsert(rows, ["image_id", "extractor"], note, tombstone="feature")
    else:
        version = features.version()
    if version is None:
        raise InputError(f"corpus.root: all {photos} files in {folder} were refused; the table quarantine says why")
    return Outcome(
        table="features",
        version=version,
        versions={"features": version},
        rows_in=photos,
        written=written,
        unchanged=unchanged,
        quarantined=refused,
        metrics={"extractor": extractor.fingerprint},
    )


def table_rows(computed: DataFrame, unread: DataFrame, extractor: Extractor) -> DataFrame:
    """Rows for the table `features`; a photo that was refused has a null feature, which removes what it had before."""
    refused = unread.select("image_id", "content_hash")
    return computed.unionByName(refused, allowMissingColumns=True).select(
        "image_id", F.lit(extractor.fingerprint).alias("extractor"), "feature", "feature_shape", "content_hash"
    )


def has_stale(features, rows: DataFrame) -> bool:
    """Whether the table still holds features of photos that are refused by now."""
    if features.version() is None:
        return False
    refused = rows.where("feature IS NULL").select("image_id", "extractor")
    return not features.read().join(refused, ["image_id", "extractor"], "left_semi").isEmpty()


@contextmanager
def even_tasks(spark: SparkSession, photos: int, batch_size: int):
    """Packs the photos of stages run inside into tasks of equal size whose number is a multiple of the task slots.

    So every slot is busy to the end: 96 photos in batches of 32 would leave one of two slots idle for a third of the time.
    A task costs about 0.15 s beside its photos, so where there are many, one holds up to BATCHES_A_TASK batches.
    """
    slots = spark.sparkContext.defaultParallelism
    batches_a_slot = math.ceil(photos / (batch_size * slots))
    rounds = max(math.ceil(batches_a_slot / BATCHES_A_TASK), min(ROUNDS, batches_a_slot), 1)
    tasks = slots * rounds
    most = max(1, math.ceil(photos / tasks)) * OPEN_COST - OPEN_COST // 2
    packing = {"spark.sql.files.openCostInBytes": OPEN_COST, "spark.sql.files.maxPartitionBytes": most}
    before = {key: spark.conf.get(key) for key in packing}
    try:
        for key, value in packing.items():
            spark.conf.set(key, value)
        yield
    finally:
        for key, value in before.items():
            spark.conf.set(key, value)


def list_photos(job: Job, folder: str) -> DataFrame:
    """image_id, length (bytes) and content_hash (SHA-256) of each file; no hash where one is empty or too large to read."""
    files, empty = photo_files(job.spark, folder), empty_photo_files(job.spark, folder)
    limit, unread = job.settings.corpus.max_bytes, F.lit(None).cast("string")
    columns = ["image_id", "length", "content_hash"]
    readable = files.where(F.col("length") <= limit).withColumn("content_hash", F.sha2("content", 256))
    oversized = files.where(F.col("length") > limit).withColumn("content_hash", unread)
    empty = empty.withColumns({"length": F.lit(0).cast("long"), "content_hash": unread})
    return readable.select(columns).unionByName(oversized.select(columns)).unionByName(empty.select(columns))


def compute(job: Job, folder: str, new: DataFrame, to_do: int, extractor: Extractor, weights: str | None) -> DataFrame:
    """The features (or refusals) of the new photos, in RESULT_SCHEMA."""
    spark, settings = job.spark, job.settings
    if not to_do:
        return spark.createDataFrame([], RESULT_SCHEMA)
    cores = int(spark.conf.get("spark.task.cpus", "1"))
    shape = probe(spark, extractor, weights, cores)
    job.log.info(f"{to_do} photos to compute with {extractor.name}, {extractor.layer} {shape}, {extractor.precision}")
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", settings.extractor.batch_size)
    rows = photo_files(spark, folder).join(F.broadcast(new.select("image_id", "content_hash")), "image_id")
    limits = PhotoLimits(settings.corpus.max_pixels, settings.corpus.min_side, settings.corpus.convert)
    work = partial(extract, extractor, weights, limits, settings.extractor.batch_size, cores)
    return rows.select("image_id", "content_hash", "content").mapInArrow(work, RESULT_SCHEMA)


def refusals(job: Job, folder: str, unread: DataFrame, computed: DataFrame) -> DataFrame:
    """The quarantine rows of the photos that were not decoded, or not even read."""
    reason = F.when(F.col("length") == 0, "empty_file").otherwise("too_many_bytes")
    details = F.concat(F.col("length"), F.lit(f" bytes; corpus.max_bytes={job.settings.corpus.max_bytes}"))
    columns = [F.lit(folder).alias("source"), F.col("image_id").alias("key"), "reason", "details"]
    skipped = unread.withColumns({"reason": reason, "details": details}).select(columns)
    return skipped.unionByName(computed.where("feature IS NULL").select(columns))


if __name__ == "__main__":
    run_job(main, __doc__)
