"""Captions any folder of photos with a finished run. It needs no tables.

    spark-submit jobs/caption.py photos=FOLDER
    spark-submit jobs/caption.py photos=FOLDER run=champion caption.output=captions caption.format=json

Writes one row per file: photo (its path below the folder) and caption; for a file that was refused, no caption but a reason
and details. When it runs again, it captions new and changed photos only.

Keys:
    run.id: the run; auto or latest: the one that finished training last; champion; or an id.
    caption.photos: the folder of the photos, with all folders below it.
    caption.output, caption.format: where the captions are written, and in which format.
    extractor.run_weights: where the weights of the run's extractor are.
    extractor.batch_size: photos in one forward pass.
    decoding.*: how captions are searched for.
    corpus.max_pixels, corpus.min_side, corpus.max_bytes, corpus.strict: which pictures are refused or converted.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf import Settings
from jobs.driver.command import Outcome, run_job
from jobs.driver.corpus.photo_features import PhotoFolder, compute_features, open_photo_folder, photo_limits, refusals
from jobs.driver.job import Job
from jobs.driver.runs.trained_run import TrainedRun, chosen_run
from jobs.driver.scoring.generation import generate, search_of
from jobs.driver.spark.hadoop_files import HadoopFiles, absolute
from jobs.driver.spark.session import require_delta
from jobs.driver.tables.caption_output import SCHEMA, CaptionOutput, caption_output
from udfs.errors import InputError
from udfs.vision.extractor import Extractor

COLUMNS = [part.split()[0] for part in SCHEMA.split(", ")]


def main(job: Job) -> Outcome:
    settings = job.settings.caption
    run = chosen_run(job)
    folder = photo_folder(job, settings.photos)
    if settings.format == "delta":
        require_delta(job.spark)
    output = caption_output(job.spark, settings.output, settings.format)
    with run.shipped_extractor(job) as (extractor, weights):
        photos = open_photo_folder(job, folder, "caption.photos")
        made_by = identity(job.settings, run, extractor)
        earlier = earlier_captions(job, output)
        known, new = split_known(photos, earlier.where(F.col("made_by") == made_by))
        computed = compute_features(job, photos, new, extractor, weights)
        captioned = caption_or_refuse(job, run, photos, computed).withColumn("made_by", F.lit(made_by))
        rows = known.select(COLUMNS).unionByName(captioned.select(COLUMNS)).orderBy("photo")
        rows = rows.persist(StorageLevel.DISK_ONLY)
        counts = rows.agg(F.count("*").alias("rows"), F.count("reason").alias("refused")).first()
    unchanged = known.where("reason IS NULL").count()
    if earlier.count() != counts.rows or not rows.exceptAll(earlier.select(COLUMNS)).isEmpty():
        output.replace(rows)
    earlier.unpersist()  # the session must not serve the old captions to a later reader of this place
    return Outcome(
        run=run.id, rows_in=photos.count, written=counts.rows - counts.refused - unchanged, unchanged=unchanged,
        quarantined=counts.refused, metrics={"output": output.place, "refused": count_reasons(rows)},
    )  # fmt: skip


def photo_folder(job: Job, folder: str) -> str:
    """The folder of the photos as a URI. Raises InputError if it cannot be read."""
    if folder == "none":
        raise InputError("caption.photos: found none, expected a folder of photos; give photos=FOLDER")
    uri, storage = absolute(folder).rstrip("/"), HadoopFiles(job.spark)
    if not storage.exists(uri) or not storage.is_folder(uri):
        raise InputError(f"caption.photos: {folder} is not a folder that can be read; give photos=FOLDER")
    return uri


def identity(settings: Settings, run: TrainedRun, extractor: Extractor) -> str:
    """A fingerprint of all that a photo's caption follows from, besides its content."""
    limits = photo_limits(settings)
    causes = {
        "run": run.id, "extractor": extractor.fingerprint, "decoding": asdict(search_of(settings)),
        "limits": [limits.max_pixels, limits.min_side, limits.strict],
    }  # fmt: skip
    return hashlib.sha256(json.dumps(causes, sort_keys=True).encode()).hexdigest()[:12]


def earlier_captions(job: Job, output: CaptionOutput) -> DataFrame:
    """The rows of the output as they are before this run of the job."""
    earlier = output.read()
    return job.spark.createDataFrame([], SCHEMA) if earlier is None else earlier.persist(StorageLevel.DISK_ONLY)


def split_known(photos: PhotoFolder, earlier: DataFrame) -> tuple[DataFrame, DataFrame]:
    """The earlier rows of photos that have not changed, and image_id and content_hash of the other photos, persisted."""
    readable = photos.readable
    known = earlier.join(readable.withColumnRenamed("image_id", "photo"), ["photo", "content_hash"], "left_semi")
    same = [readable.image_id == known.photo, readable.content_hash == known.content_hash]
    return known, readable.join(known, same, "left_anti").persist(StorageLevel.DISK_ONLY)


def caption_or_refuse(job: Job, run: TrainedRun, photos: PhotoFolder, computed: DataFrame) -> DataFrame:
    """photo, caption, reason, details and content_hash of the photos whose features were computed, or refused."""
    captions = generate(job, run, computed.where("feature IS NOT NULL")).withColumnRenamed("hypothesis", "caption")
    refused = refusals(job.settings, photos, computed)
    refused = refused.select(F.col("key").alias("image_id"), "reason", "details")
    both = captions.unionByName(refused, allowMissingColumns=True)
    return both.join(photos.files.select("image_id", "content_hash"), "image_id").withColumnRenamed("image_id", "photo")


def count_reasons(rows: DataFrame) -> dict[str, int]:
    counts = rows.where("reason IS NOT NULL").groupBy("reason").count().orderBy("reason").collect()
    return {row.reason: row["count"] for row in counts}


if __name__ == "__main__":
    run_job(main, __doc__)
