"""The nearest of many photos for each of others, by the cosine distance of their features, as a map and a reduce."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.spark.session import arrow_batches
from udfs.vision.features import feature_rows, unit_rows
from udfs.vision.neighbours import SCHEMA, nearest_in_batches

QUERY_BYTES = 128 * 2**20  # of the features that every executor holds at a time
BATCH = 256  # candidates in an Arrow batch


def nearest_photos(queries: DataFrame, candidates: DataFrame, others_only: bool = False) -> pd.DataFrame:
    """query, part, distance, neighbour: the nearest candidate of each query in each part of the candidates.

    queries: image_id, feature. candidates: image_id, feature and, where nearest ones of several parts are wanted, part. With
    `others_only` a photo is no neighbour of its own. Queries go in blocks to every executor, where each task compares them
    with its share of the candidates, so the memory is bounded at any number of photos.
    """
    if "part" not in candidates.columns:
        candidates = candidates.withColumn("part", F.lit("all"))
    size = queries.agg(F.sum(F.size("feature").cast("long"))).first()[0] or 0
    blocks = max(1, math.ceil(4 * size / QUERY_BYTES))
    found = [pd.DataFrame(columns=["query", "part", "distance", "neighbour"])]
    with arrow_batches(queries.sparkSession, BATCH):
        for block in range(blocks):
            mine = queries.where(F.pmod(F.xxhash64("image_id"), F.lit(blocks)) == block).toArrow()
            if mine.num_rows:
                found.append(_nearest_of_block(mine, candidates, others_only))
    return pd.concat(found[1:] or found, ignore_index=True)


def _nearest_of_block(queries, candidates: DataFrame, others_only: bool) -> pd.DataFrame:
    content = queries.column("image_id").to_pylist(), unit_rows(feature_rows(queries.column("feature")))
    shared = candidates.sparkSession.sparkContext.broadcast(content)
    try:
        work = partial(nearest_in_batches, shared, others_only)
        rows = candidates.select("image_id", "feature", "part").mapInArrow(work, SCHEMA)
        best = F.min(F.struct("distance", "neighbour")).alias("best")
        return rows.groupBy("query", "part").agg(best).select("query", "part", "best.*").toPandas()
    finally:
        shared.destroy()
