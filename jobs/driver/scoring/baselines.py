"""Baselines for a run's captions, and the n-gram counts of captions.

The most frequent caption and shuffled captions ignore the photo. A caption of the nearest training photo uses the same
features, but no model. A human's captions show what score can be expected at best.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.driver.scoring.nearest import nearest_photos
from udfs.captioner.text import scored_text
from udfs.scoring.bleu import add_bleu_counts
from udfs.vision.features import COLUMNS

SHUFFLES = 5  # the score of a single shuffle varies too much on a small split
COUNTS = "matches array<bigint>, totals array<bigint>, hypothesis_length bigint, reference_length bigint"


def with_counts(rows: DataFrame) -> DataFrame:
    """Adds the n-gram counts of hypotheses against their references (BLEU's map step).

    Args:
        rows: image_id, hypothesis and references, as normalised text.

    Returns:
        The same columns with those of COUNTS.
    """
    schema = f"image_id string, hypothesis string, references array<string>, {COUNTS}"
    return rows.select("image_id", "hypothesis", "references").mapInPandas(add_bleu_counts, schema)


def normalised() -> Column:
    """Returns the column `text` in the form in which captions are compared; see `scored_text`."""
    return scored_text(F.col("text"))


def training_texts(captions: DataFrame) -> DataFrame:
    """Returns image_id, caption_no and the normalised text of the training captions in the table `captions`."""
    return captions.where("split = 'train'").select("image_id", "caption_no", normalised().alias("text"))


def constant_captions(scored: DataFrame, training: DataFrame) -> DataFrame:
    """Gives every photo the most frequent training caption.

    Args:
        scored: image_id, hypothesis and references.
        training: The rows of `training_texts`.
    """
    counts = training.groupBy("text").count()
    most_frequent = counts.orderBy(F.desc("count"), "text").first()
    return scored.withColumn("hypothesis", F.lit(most_frequent.text if most_frequent else ""))


def shuffled_captions(scored: DataFrame) -> DataFrame:
    """Gives every photo the captions of SHUFFLES other photos, the next ones in the order of a hash.

    Args:
        scored: image_id, hypothesis and references.

    Returns:
        SHUFFLES rows for each photo, or fewer if there are fewer other photos.
    """
    ids = [row.image_id for row in scored.select("image_id").orderBy(F.sha2("image_id", 256)).collect()]
    distances = range(1, max(2, min(SHUFFLES + 1, len(ids))))
    pairs = [(image_id, ids[(place + far) % len(ids)]) for far in distances for place, image_id in enumerate(ids)]
    neighbours = scored.sparkSession.createDataFrame(pairs, "image_id string, other string")
    others = scored.select(F.col("image_id").alias("other"), "hypothesis")
    return scored.drop("hypothesis").join(neighbours, "image_id").join(others, "other")


def nearest_captions(scored: DataFrame, training: DataFrame, features: DataFrame) -> DataFrame:
    """Gives every photo the first caption of its nearest training photo.

    Args:
        scored: image_id, hypothesis and references.
        training: The rows of `training_texts`.
        features: The table `features`, with the rows of one extractor.
    """
    first = training.groupBy("image_id").agg(F.min_by("text", "caption_no").alias("text"))
    candidates = features.join(first.select("image_id"), "image_id", "left_semi").select(COLUMNS)
    queries = features.join(scored.select("image_id"), "image_id", "left_semi").select(COLUMNS)
    nearest = nearest_photos(queries, candidates, others_only=True)[["query", "neighbour"]]
    neighbours = scored.sparkSession.createDataFrame(nearest, "image_id string, neighbour string")
    texts = first.select(F.col("image_id").alias("neighbour"), F.col("text").alias("hypothesis"))
    return scored.drop("hypothesis").join(neighbours, "image_id").join(texts, "neighbour")


def human_captions(scored: DataFrame) -> DataFrame:
    """Scores each reference of a photo against its other references; leaves out photos with one reference.

    A human caption has one reference less than a generated one, so its score is slightly too low.

    Args:
        scored: image_id and references.

    Returns:
        image_id, hypothesis and references, a row for each reference.
    """
    exploded = scored.where(F.size("references") > 1).select("image_id", "references", F.posexplode("references"))
    others = F.filter("references", lambda _, place: place != F.col("pos"))
    return exploded.select("image_id", F.col("col").alias("hypothesis"), others.alias("references"))
