"""Captions any folder of photos with the champion, or with another finished run. It needs no tables.

    spark-submit jobs/caption.py photos=FOLDER
    spark-submit jobs/caption.py photos=FOLDER run=ID caption.output=captions caption.format=json

Writes one row a file: photo (its path below the folder), caption, and for a file that was refused no caption but the reason
with details. Run again, it captions new and changed photos only.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import asdict

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.corpus.extractors import ship_weights
from jobs.driver.job import Job, Outcome, run_job
from jobs.driver.runs.champion import promoted_run, require_trained
from jobs.driver.runs.registry import fingerprint
from jobs.driver.spark.hadoop_files import HadoopFiles, absolute
from jobs.driver.spark.session import require_delta
from jobs.driver.tables.caption_output import SCHEMA, caption_output
from jobs.evaluate import generate, search_of
from jobs.extract_features import compute, even_tasks, list_photos, refusals
from udfs.captioning import resolve_run_extractor
from udfs.errors import InputError
from udfs.vision.extractor import Extractor

COLUMNS = [part.split()[0] for part in SCHEMA.split(", ")]


def main(job: Job) -> Outcome:
    settings = job.settings.caption
    run = promoted_run(job.settings)
    run_folder = require_trained(job.settings, run)
    photos = find_folder(job, settings.photos)
    if settings.format == "delta":
        require_delta(job.spark)
    output = caption_output(job.spark, settings.output, settings.format)
    with tempfile.TemporaryDirectory() as scratch:  # executors may fetch the weights from here as long as the job runs
        extractor, weights = resolve_run_extractor(
            run_folder, job.settings.extractor.run_weights, scratch, "extractor.run_weights"
        )
        return caption_folder(job, run, run_folder, photos, output, extractor, ship_weights(job.spark, weights))


def find_folder(job: Job, folder: str) -> str:
    """The folder of the photos as a URI. Raises InputError where it is none."""
    if folder == "none":
        raise InputError("caption.photos: found none, expected a folder of photos; give photos=FOLDER")
    place, storage = absolute(folder).rstrip("/"), HadoopFiles(job.spark)
    if not storage.exists(place) or not storage.is_folder(place):
        raise InputError(f"caption.photos: {folder} is not a folder that can be read; give photos=FOLDER")
    if re.search(r"[][{}*?]", place):
        raise InputError(
            f"caption.photos: found one of []{{}}*? in {folder}, which Spark takes for a pattern; rename the folder"
        )
    return place


def caption_folder(
    job: Job, run: str, run_folder: str, folder: str, output, extractor: Extractor, weights: str | None
) -> Outcome:
    """Brings the output up to date with the photos of a folder."""
    made_by = fingerprint(
        {"run": run, "extractor": extractor.fingerprint, "decoding": asdict(search_of(job.settings)),
         "limits": [job.settings.corpus.max_pixels, job.settings.corpus.min_side, job.settings.corpus.convert]}
    )  # fmt: skip
    listed = list_photos(job, folder).persist(StorageLevel.DISK_ONLY)
    photos = listed.count()
    if not photos:
        raise InputError(f"caption.photos: found no files in {folder}, expected photos; check the path")
    before = output.read()
    before = job.spark.createDataFrame([], SCHEMA) if before is None else before.persist(StorageLevel.DISK_ONLY)
    unread = listed.where("content_hash IS NULL")
    readable = listed.where("content_hash IS NOT NULL")
    mine = before.where(F.col("made_by") == made_by)
    known = mine.join(readable.withColumnRenamed("image_id", "photo"), ["photo", "content_hash"], "left_semi")
    same = [readable.image_id == known.photo, readable.content_hash == known.content_hash]
    new = readable.join(known, same, "left_anti").persist(StorageLevel.DISK_ONLY)
    with even_tasks(job.spark, photos, job.settings.extractor.batch_size):
        computed = compute(job, folder, new, new.count(), extractor, weights).persist(StorageLevel.DISK_ONLY)
        computed.count()
    captioned = generate(job, computed.where("feature IS NOT NULL"), run_folder).withColumnRenamed(
        "hypothesis", "caption"
    )
    hashes = listed.select("image_id", "content_hash")
    refused = refusals(job, folder, unread, computed).select(F.col("key").alias("image_id"), "reason", "details")
    made = captioned.unionByName(refused, allowMissingColumns=True).join(hashes, "image_id")
    made = made.withColumnRenamed("image_id", "photo").withColumn("made_by", F.lit(made_by))
    rows = known.select(COLUMNS).unionByName(made.select(COLUMNS)).orderBy("photo").persist(StorageLevel.DISK_ONLY)
    counts = rows.agg(F.count("*").alias("rows"), F.count("reason").alias("refused")).first()
    unchanged = known.where("reason IS NULL").count()
    if before.count() != counts.rows or not rows.exceptAll(before.select(COLUMNS)).isEmpty():
        output.replace(rows)
    before.unpersist()  # whoever reads this place next in the session shall see what is there now
    return Outcome(
        run=run, rows_in=photos, written=counts.rows - counts.refused - unchanged, unchanged=unchanged,
        quarantined=counts.refused, metrics={"output": output.place, "refused": count_reasons(rows)},
    )  # fmt: skip


def count_reasons(rows: DataFrame) -> dict[str, int]:
    found = rows.where("reason IS NOT NULL").groupBy("reason").count().orderBy("reason").collect()
    return {row.reason: row["count"] for row in found}


if __name__ == "__main__":
    run_job(main, __doc__)
