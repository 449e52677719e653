"""Two populations of photos and captions, and statistics of both side by side."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# A word between these is usually a noun ("a _ on", "the _ ."): frequent frames (Mintz, 2003).
BEFORE = "a an the two three four five several some his her their its one"
AFTER = (
    "is are was were has have in on at with of by near from to into onto through over under along across down up behind "
    "beside next that which who while as for against outside inside around towards toward past"
)
AGREEING = 2  # captions of a photo that must name an object; one is enough for a photo with one caption


@dataclass(frozen=True)
class Population:
    """Photos with their captions.

    Attributes:
        name: The split, or the URI of the corpus.
        features: image_id, feature and feature_shape (of the run's extractor).
        hashes: image_id and hash (perceptual).
        captions: image_id and words, a row for each caption; None if there are no captions.
        scored: image_id, hypothesis, references and the columns that BLEU counts; None if the photos were not captioned.
    """

    name: str
    features: DataFrame
    hashes: DataFrame
    captions: DataFrame | None = None
    scored: DataFrame | None = None


def caption_lengths(captions: DataFrame) -> pd.Series:
    """Returns the number of captions of each length in words, in order of length."""
    counts = captions.groupBy(F.size("words").alias("length")).count().orderBy("length").toPandas()
    return counts.set_index("length")["count"]


def profile(captions: DataFrame, lengths: pd.Series, tokens: pd.DataFrame, side: str, known: set[str]) -> dict:
    """Summarises the size, the lengths and the vocabulary of a population's captions.

    Args:
        captions: image_id and words.
        lengths: Their `caption_lengths`.
        tokens: The `token_table` of both populations.
        side: The population's column in it, `training` or `other`.
        known: The words that the captioner's vocabulary can express.
    """
    side_tokens = tokens[tokens[side] > 0]
    count, words = int(lengths.sum()), int(side_tokens[side].sum())
    values = lengths.index.to_numpy().repeat(lengths.to_numpy())
    return {
        "photos": captions.select("image_id").distinct().count(),
        "captions": count,
        "words": words,
        "mean_length": round(float(values.mean()), 2),
        "sd_length": round(float(values.std()), 2),
        "length_quantiles": {str(q): float(pd.Series(values).quantile(q)) for q in (0.1, 0.5, 0.9)},
        "lengths": {str(length): round(number / count, 5) for length, number in lengths.items()},
        "distinct_words": len(side_tokens),
        "out_of_vocabulary": round(float(side_tokens.loc[~side_tokens.index.isin(known), side].sum()) / words, 5),
    }


def token_table(training: DataFrame, other: DataFrame) -> pd.DataFrame:
    """Counts the words of two populations.

    Args:
        training: image_id and words of the training captions.
        other: image_id and words of the evaluated captions.

    Returns:
        A row for each word (the index): its occurrences (`training`, `other`), the photos whose captions have it
        (`training_photos`, `other_photos`), and `framed`, its training occurrences after a word of BEFORE and in front of
        a word of AFTER or the caption's end.
    """
    words = _in_context(training, "training").unionByName(_in_context(other, "other"))
    sides = ("training", "other")
    is_side = {side: F.col("side") == side for side in sides}
    counts = words.groupBy("token").agg(
        *[F.sum(is_side[side].cast("long")).alias(side) for side in sides],
        *[F.countDistinct(F.when(is_side[side], F.col("image_id"))).alias(f"{side}_photos") for side in sides],
        F.sum((_is_framed() & is_side["training"]).cast("long")).alias("framed"),
    )
    return counts.toPandas().set_index("token").sort_index()


def _in_context(captions: DataFrame, side: str) -> DataFrame:
    """image_id, side, token, before and after of each word; before the first and after the last is an empty string."""
    empty, size = F.array(F.lit("")), F.size("words")
    in_place = F.arrays_zip(
        F.col("words").alias("token"),
        F.slice(F.concat(empty, "words"), 1, size).alias("before"),
        F.concat(F.slice("words", 2, size), empty).alias("after"),
    )
    return captions.where(size > 0).select("image_id", F.lit(side).alias("side"), F.inline(in_place))


def _is_framed() -> Column:
    return F.col("before").isin(BEFORE.split()) & F.col("after").isin(["", *AFTER.split()])


def nouns(tokens: pd.DataFrame, share: float = 0.1, least: int = 5) -> list[str]:
    """Returns the words that are probably nouns.

    Args:
        tokens: A `token_table`.
        share: The least share of a word's training occurrences that is framed like a noun.
        least: The least number of such occurrences.
    """
    return list(tokens.index[(tokens.framed >= least) & (tokens.framed >= share * tokens.training)])


def named_objects(captions: DataFrame, nouns: list[str]) -> DataFrame:
    """Finds the objects that several captions of a photo agree on.

    Args:
        captions: image_id and words.
        nouns: The objects to look for.

    Returns:
        image_id and token: the nouns in at least AGREEING captions of a photo, or in its only caption.
    """
    spark = captions.sparkSession
    objects = F.broadcast(spark.createDataFrame([(noun,) for noun in nouns], "token string"))
    needed = F.least(F.lit(AGREEING), F.count("*")).alias("needed")
    words = captions.select("image_id", F.explode(F.array_distinct("words")).alias("token")).join(objects, "token")
    counts = words.groupBy("image_id", "token").count().join(captions.groupBy("image_id").agg(needed), "image_id")
    return counts.where("count >= needed").select("image_id", "token")
