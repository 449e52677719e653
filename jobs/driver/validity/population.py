"""Two populations of photos and captions, and what Spark measures of both side by side."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# Words between which a word is a noun more often than not ("a _ on", "the _ ."): frequent frames (Mintz, 2003).
BEFORE = "a an the two three four five several some his her their its one"
AFTER = (
    "is are was were has have in on at with of by near from to into onto through over under along across down up behind "
    "beside next that which who while as for against outside inside around towards toward past"
)
AGREEING = 2  # captions of a photo that must name an object, where it has as many


@dataclass(frozen=True)
class Population:
    """Photos of one kind. features: image_id, feature. hashes: image_id, hash. captions: image_id, words; or None.

    scored: image_id, hypothesis, references and the columns that BLEU counts; or None where nothing was captioned.
    """

    name: str
    features: DataFrame
    hashes: DataFrame
    captions: DataFrame | None = None
    scored: DataFrame | None = None


def lengths(captions: DataFrame) -> pd.Series:
    """How many captions have each number of words, in order of that."""
    found = captions.groupBy(F.size("words").alias("length")).count().orderBy("length").toPandas()
    return found.set_index("length")["count"]


def profile(captions: DataFrame, lengths: pd.Series, tokens: pd.DataFrame, side: str, known: set[str]) -> dict:
    """Size, length and vocabulary of a population's captions. `known`: the words that the captioner has learnt."""
    mine = tokens[tokens[side] > 0]
    count, words = int(lengths.sum()), int(mine[side].sum())
    values = lengths.index.to_numpy().repeat(lengths.to_numpy())
    return {
        "photos": captions.select("image_id").distinct().count(),
        "captions": count,
        "words": words,
        "mean_length": round(float(values.mean()), 2),
        "sd_length": round(float(values.std()), 2),
        "length_quantiles": {str(q): float(pd.Series(values).quantile(q)) for q in (0.1, 0.5, 0.9)},
        "lengths": {str(length): round(number / count, 5) for length, number in lengths.items()},
        "distinct_words": len(mine),
        "out_of_vocabulary": round(float(mine.loc[~mine.index.isin(known), side].sum()) / words, 5),
    }


def token_table(training: DataFrame, other: DataFrame) -> pd.DataFrame:
    """A row a word: occurrences (`training`, `other`), photos (`training_photos`, `other_photos`), and `framed`.

    framed: the training occurrences between BEFORE and AFTER or a caption's end.
    """
    each = _in_context(training, "training").unionByName(_in_context(other, "other"))
    sides = ("training", "other")
    ours = {side: F.col("side") == side for side in sides}
    found = each.groupBy("token").agg(
        *[F.sum(ours[side].cast("long")).alias(side) for side in sides],
        *[F.countDistinct(F.when(ours[side], F.col("image_id"))).alias(f"{side}_photos") for side in sides],
        F.sum((_is_framed() & ours["training"]).cast("long")).alias("framed"),
    )
    return found.toPandas().set_index("token").sort_index()


def _in_context(captions: DataFrame, side: str) -> DataFrame:
    """image_id, side, token, before, after of each word; nothing stands before the first and after the last."""
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
    """The words that stand in frames of nouns in this share of their training occurrences, and at least so often."""
    return list(tokens.index[(tokens.framed >= least) & (tokens.framed >= share * tokens.training)])


def named_objects(captions: DataFrame, nouns: list[str]) -> DataFrame:
    """image_id and token: the nouns that at least AGREEING captions of a photo hold, or its only caption."""
    spark = captions.sparkSession
    words = F.broadcast(spark.createDataFrame([(noun,) for noun in nouns], "token string"))
    needed = F.least(F.lit(AGREEING), F.count("*")).alias("needed")
    each = captions.select("image_id", F.explode(F.array_distinct("words")).alias("token")).join(words, "token")
    counts = each.groupBy("image_id", "token").count().join(captions.groupBy("image_id").agg(needed), "image_id")
    return counts.where("count >= needed").select("image_id", "token")
