"""Nearest photos by the cosine distance of their features, as a map and a reduce."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.driver.spark.session import arrow_batches
from udfs.vision.features import COLUMNS, POOLED_SCHEMA, pool_batches, pooled_rows, unit_rows
from udfs.vision.neighbours import SCHEMA, nearest_in_batches

QUERY_BYTES = 128 * 2**20  # features that an executor holds at a time
BATCH = 256  # candidates in an Arrow batch


def channels() -> Column:
    """The number of values of a feature once it is averaged over its positions."""
    return F.element_at("feature_shape", -1)


def pooled(features: DataFrame) -> DataFrame:
    """Averages features over their positions, on the executors; vectors stay as they are.

    Args:
        features: image_id, feature and feature_shape.
    """
    return features.select(COLUMNS).mapInArrow(pool_batches, POOLED_SCHEMA)


def nearest_photos(queries: DataFrame, candidates: DataFrame, others_only: bool = False) -> pd.DataFrame:
    """Finds the nearest candidate of each query in each part of the candidates.

    The queries are broadcast to the executors in blocks, and each task compares a block with its share of the candidates, so
    that memory stays bounded for any number of photos.

    Args:
        queries: image_id, feature and feature_shape. A map counts as its average over positions.
        candidates: The same and, to find the nearest one of each part, `part`.
        others_only: Whether a photo must not be its own neighbour.

    Returns:
        query, part, distance and neighbour.
    """
    if "part" not in candidates.columns:
        candidates = candidates.withColumn("part", F.lit("all"))
    size = queries.agg(F.sum(channels().cast("long"))).first()[0] or 0
    blocks = max(1, math.ceil(4 * size / QUERY_BYTES))
    results = []
    with arrow_batches(queries.sparkSession, BATCH):
        for block in range(blocks):
            rows = pooled(queries.where(F.pmod(F.xxhash64("image_id"), F.lit(blocks)) == block)).toArrow()
            if rows.num_rows:
                results.append(_nearest_of_block(rows, candidates, others_only))
    if not results:
        return pd.DataFrame(columns=["query", "part", "distance", "neighbour"])
    return pd.concat(results, ignore_index=True)


def _nearest_of_block(queries: pa.Table, candidates: DataFrame, others_only: bool) -> pd.DataFrame:
    content = queries.column("image_id").to_pylist(), unit_rows(pooled_rows(queries))
    shared = candidates.sparkSession.sparkContext.broadcast(content)
    try:
        work = partial(nearest_in_batches, shared, others_only)
        rows = candidates.select(*COLUMNS, "part").mapInArrow(work, SCHEMA)
        best = F.min(F.struct("distance", "neighbour")).alias("best")
        return rows.groupBy("query", "part").agg(best).select("query", "part", "best.*").toPandas()
    finally:
        shared.destroy()
