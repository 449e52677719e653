"""Photos that look like a training photo: perceptual hashes, kept in the table `photo_hashes`, compared with one another."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.corpus.layouts import photo_files
from jobs.driver.job import Job
from jobs.driver.spark.session import arrow_batches
from udfs.vision.decode import PhotoLimits
from udfs.vision.perceptual_hash import HASH_SCHEMA, PAIR_SCHEMA, hash_photos, near_duplicate_pairs

QUERIES = 100_000  # hashes that executors hold at a time
BATCH = 64  # photos in an Arrow batch, whole files


def photo_hashes(job: Job, folder: str, features: DataFrame) -> DataFrame:
    """image_id and hash of the photos that have features (image_id, content_hash); only new or changed ones are read."""
    table = job.warehouse.table("photo_hashes")
    wanted = features.select("image_id", "content_hash").distinct()
    new = wanted
    if table.version() is not None:
        new = wanted.join(table.read(), ["image_id", "content_hash"], "left_anti")
    new = new.persist(StorageLevel.MEMORY_AND_DISK)
    count = new.count()
    if count:
        job.log.info(f"{count} photos to hash")
        corpus = job.settings.corpus
        limits = PhotoLimits(corpus.max_pixels, corpus.min_side, corpus.convert)
        rows = photo_files(job.spark, folder).where(F.col("length") <= corpus.max_bytes)
        rows = rows.join(F.broadcast(new), "image_id").select("image_id", "content_hash", "content")
        hashed = rows.mapInPandas(partial(hash_photos, limits), HASH_SCHEMA)
        # A photo that is gone or refused keeps no earlier hash, and is not tried again before its content changes.
        hashed = new.join(hashed, ["image_id", "content_hash"], "left").persist(StorageLevel.DISK_ONLY)
        with arrow_batches(job.spark, BATCH):
            table.upsert(hashed, ["image_id"], {}, tombstone="content_hash")
    if table.version() is None:
        return job.spark.createDataFrame([], "image_id string, hash bigint")
    return (
        table.read()
        .join(wanted, ["image_id", "content_hash"], "left_semi")
        .where("hash IS NOT NULL")
        .drop("content_hash")
    )


def look_alikes(training: DataFrame, other: DataFrame, most: int) -> pd.DataFrame:
    """image_id, twin, bits: photos of the second table and the most similar training photo, differing in `most` bits or fewer.

    Both tables: image_id, hash. Ordered by bits and name.
    """
    spark = training.sparkSession
    rows = other.toPandas()
    found = []
    for start in range(0, len(rows), QUERIES):
        part = rows[start : start + QUERIES]
        queries = spark.sparkContext.broadcast((list(part.image_id), part["hash"].to_numpy(np.int64)))
        pairs = training.select("image_id", "hash").mapInPandas(partial(near_duplicate_pairs, queries, most), PAIR_SCHEMA)
        best = F.min(F.struct("bits", "twin")).alias("best")
        found.append(pairs.groupBy("image_id").agg(best).select("image_id", "best.twin", "best.bits").toPandas())
        queries.destroy()
    pairs = pd.concat(found) if found else pd.DataFrame(columns=["image_id", "twin", "bits"])
    return pairs.sort_values(["bits", "image_id"]).reset_index(drop=True)
