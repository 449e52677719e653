"""The n-gram counts of captions, and the captions that others have for the same photos.

Of these, the most frequent caption and those of other photos never look at the photo; the nearest training photo's does,
with the same features and no model; and a human's is what a model may hope for.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.driver.scoring.nearest import nearest_photos
from udfs.captioner.text import words
from udfs.scoring.bleu import add_bleu_counts

SHUFFLES = 5  # one shuffle of a small split is a matter of luck
COUNTS = "matches array<bigint>, totals array<bigint>, hypothesis_length bigint, reference_length bigint"


def with_counts(rows: DataFrame) -> DataFrame:
    """The map step: adds the n-gram counts of `hypothesis` against `references`, both normalised text."""
    schema = f"image_id string, hypothesis string, references array<string>, {COUNTS}"
    return rows.select("image_id", "hypothesis", "references").mapInPandas(add_bleu_counts, schema)


def normalised() -> Column:
    """The column `text` as captions are compared: its words, joined by spaces."""
    return F.concat_ws(" ", words(F.col("text")))


def constant_captions(scored: DataFrame, captions: DataFrame) -> DataFrame:
    """The most frequent training caption for every photo."""
    counts = captions.where("split = 'train'").groupBy(normalised().alias("hypothesis")).count()
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


def nearest_captions(scored: DataFrame, captions: DataFrame, features: DataFrame) -> DataFrame:
    """The first caption of each photo's nearest training photo, by the cosine of `features` (of one extractor)."""
    first = (
        captions.where("split = 'train'").groupBy("image_id").agg(F.min_by(normalised(), "caption_no").alias("text"))
    )
    trained = features.join(first.select("image_id"), "image_id", "left_semi").select("image_id", "feature")
    wanted = features.join(scored.select("image_id"), "image_id", "left_semi").select("image_id", "feature")
    found = nearest_photos(wanted, trained, others_only=True)[["query", "neighbour"]]
    neighbours = scored.sparkSession.createDataFrame(found, "image_id string, neighbour string")
    texts = first.select(F.col("image_id").alias("neighbour"), F.col("text").alias("hypothesis"))
    return scored.drop("hypothesis").join(neighbours, "image_id").join(texts, "neighbour")


def human_captions(scored: DataFrame) -> DataFrame:
    """Each of a photo's captions in turn against its others; nothing of photos with one caption.

    It has one reference less than a captioner has, which costs it a little.
    """
    each = scored.where(F.size("references") > 1).select("image_id", "references", F.posexplode("references"))
    others = F.filter("references", lambda _, place: place != F.col("pos"))
    return each.select("image_id", F.col("col").alias("hypothesis"), others.alias("references"))
