"""The n-gram counts of captions, and of captions by somebody who never looks at the photo."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from udfs.bleu import count_batches
from udfs.text import words

SHUFFLES = 5  # one shuffle of a small split is a matter of luck
COUNTS = "matches array<bigint>, totals array<bigint>, hypothesis_length bigint, reference_length bigint"


def with_counts(rows: DataFrame) -> DataFrame:
    """The map step: adds the n-gram counts of `hypothesis` against `references`, both normalised text."""
    schema = f"image_id string, hypothesis string, references array<string>, {COUNTS}"
    return rows.select("image_id", "hypothesis", "references").mapInPandas(count_batches, schema)


def constant_captions(scored: DataFrame, captions: DataFrame) -> DataFrame:
    """The most frequent training caption for every photo."""
    text = F.concat_ws(" ", words(F.col("text")))
    counts = captions.where("split = 'train'").groupBy(text.alias("hypothesis")).count()
    most_frequent = counts.orderBy(F.desc("count"), "hypothesis").first()
    return scored.withColumn("hypothesis", F.lit(most_frequent.hypothesis if most_frequent else ""))


def shuffled_captions(scored: DataFrame) -> DataFrame:
    """Each photo gets the captions of SHUFFLES others: the photos in order of a hash, each taking its next neighbours'."""
    ids = [row.image_id for row in scored.select("image_id").orderBy(F.sha2("image_id", 256)).collect()]
    distances = range(1, max(2, min(SHUFFLES + 1, len(ids))))
    pairs = [(image_id, ids[(place + far) % len(ids)]) for far in distances for place, image_id in enumerate(ids)]
    neighbours = scored.sparkSession.createDataFrame(pairs, "image_id string, other string")
    others = scored.select(F.col("image_id").alias("other"), "hypothesis")
    return scored.drop("hypothesis").join(neighbours, "image_id").join(others, "other")
