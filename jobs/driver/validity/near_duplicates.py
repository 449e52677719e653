"""Near-duplicates of training photos (leakage), by perceptual hashes that the table `photo_hashes` keeps."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.corpus.photo_listing import map_contents
from jobs.driver.job import Job
from jobs.driver.spark.session import arrow_batches
from udfs.photo_files import in_pandas
from udfs.vision.decode import PhotoLimits
from udfs.vision.perceptual_hash import HASH_SCHEMA, PAIR_SCHEMA, hash_photos, near_duplicate_pairs

QUERIES = 100_000  # hashes that an executor holds at a time
BATCH = 64  # photos in an Arrow batch, as whole files


def photo_hashes(job: Job, folder: str, features: DataFrame) -> DataFrame:
    """Hashes photos, and keeps the hashes in the table `photo_hashes`; reads only new and changed files.

    Args:
        job: The job, whose corpus settings limit what is decoded.
        folder: The folder of the photos.
        features: image_id and content_hash of the photos to hash.

    Returns:
        image_id and hash (bigint) of the photos that can be decoded.
    """
    table = job.warehouse.table("photo_hashes")
    requested = features.select("image_id", "content_hash").distinct()
    new = requested
    if table.version() is not None:
        new = requested.join(table.read(), ["image_id", "content_hash"], "left_anti")
    new = new.persist(StorageLevel.MEMORY_AND_DISK)
    count = new.count()
    if count:
        job.log.info(f"{count} photos to hash")
        # A file that is gone or refused gets a null hash: it keeps no earlier one, and is not tried again unless it changes.
        hashed = new.join(_hash(job, folder, new), ["image_id", "content_hash"], "left").persist(StorageLevel.DISK_ONLY)
        with arrow_batches(job.spark, BATCH):
            table.upsert(hashed, ["image_id"], {}, tombstone="content_hash")
    if table.version() is None:
        return job.spark.createDataFrame([], "image_id string, hash bigint")
    hashes = table.read().join(requested, ["image_id", "content_hash"], "left_semi")
    return hashes.where("hash IS NOT NULL").drop("content_hash")


def _hash(job: Job, folder: str, photos: DataFrame) -> DataFrame:
    corpus = job.settings.corpus
    # Not strict: the photos have features, and a hash that is missing would be kept for runs that convert.
    limits = PhotoLimits(corpus.max_pixels, corpus.min_side)
    rows, work = photos.select("image_id", "content_hash"), partial(in_pandas, partial(hash_photos, limits))
    tasks = 2 * job.spark.sparkContext.defaultParallelism
    return map_contents(rows, folder, work, HASH_SCHEMA, corpus.max_bytes, tasks)


def find_near_duplicates(training: DataFrame, evaluated: DataFrame, max_bits: int) -> pd.DataFrame:
    """Finds evaluated photos whose hash differs in at most `max_bits` of its 64 bits from that of a training photo.

    Args:
        training: image_id and hash.
        evaluated: image_id and hash.
        max_bits: The largest Hamming distance.

    Returns:
        image_id, twin (the most similar training photo) and bits (their distance), ordered by bits and name.
    """
    spark = training.sparkSession
    rows = evaluated.toPandas()
    blocks = []
    for start in range(0, len(rows), QUERIES):
        block = rows[start : start + QUERIES]
        queries = spark.sparkContext.broadcast((list(block.image_id), block["hash"].to_numpy(np.int64)))
        pairs = training.select("image_id", "hash").mapInPandas(
            partial(near_duplicate_pairs, queries, max_bits), PAIR_SCHEMA
        )
        best = F.min(F.struct("bits", "twin")).alias("best")
        blocks.append(pairs.groupBy("image_id").agg(best).select("image_id", "best.twin", "best.bits").toPandas())
        queries.destroy()
    pairs = pd.concat(blocks) if blocks else pd.DataFrame(columns=["image_id", "twin", "bits"])
    return pairs.sort_values(["bits", "image_id"]).reset_index(drop=True)
