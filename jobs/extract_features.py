"""Extracts a feature vector of every photo with a network of keras.applications, into the table `features`.

Only photos whose content or extractor is new are computed. Photos that cannot be used go to the table `quarantine`.
"""

from __future__ import annotations

import tempfile
from functools import partial

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.corpus import empty_photo_files, find_photos, photo_files
from jobs.driver.extractors import probe, resolve_extractor, ship_weights
from jobs.driver.job import Job, Outcome, run_job
from jobs.driver.quarantine import quarantine
from udfs.errors import InputError
from udfs.extractor import RESULT_SCHEMA, Extractor, extract
from udfs.photos import PhotoLimits

OPEN_COST = 2**20  # bytes that Spark adds to a file's size when it packs files into tasks; a photo is far smaller


def main(job: Job) -> Outcome:
    folder = find_photos(job.spark, job.settings)
    make_tasks_of_a_batch(job)
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
    if features.version() is not None:
        known = features.read().where(F.col("extractor") == extractor.fingerprint).select("image_id", "content_hash")
        new = new.join(known, ["image_id", "content_hash"], "left_anti")
    new = new.persist(StorageLevel.DISK_ONLY)
    to_do = new.count()
    unchanged = photos - to_do - unread.count()

    computed = compute(job, folder, new, to_do, extractor, weights).persist(StorageLevel.DISK_ONLY)
    written = computed.where("feature IS NOT NULL").count()
    refused = quarantine(job, refusals(job, folder, unread, computed))
    rows = table_rows(computed, unread, extractor)
    if written or has_stale(features, rows):
        features.upsert(rows, ["image_id", "extractor"], {"extractor": extractor.fingerprint}, tombstone="feature")
    if features.version() is None:
        raise InputError(f"corpus.root: all {photos} files in {folder} were refused; the table quarantine says why")
    return Outcome(
        table="features",
        version=features.version(),
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


def make_tasks_of_a_batch(job: Job) -> None:
    """Lets a Spark task hold about as many photos as a forward pass: small enough that all tasks end together."""
    job.spark.conf.set("spark.sql.files.openCostInBytes", OPEN_COST)
    job.spark.conf.set("spark.sql.files.maxPartitionBytes", job.settings.extractor.batch_size * OPEN_COST * 9 // 8)


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
    job.say(f"{to_do} photos to compute with {extractor.name}, {extractor.layer} {shape}, {extractor.precision}")
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
