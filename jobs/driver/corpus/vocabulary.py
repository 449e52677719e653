"""The vocabulary of the training captions, and captions as token ids, as a map and a reduce in Spark's expressions."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from udfs.captioner.text import RESERVED, UNKNOWN, caption_ids


def build_vocabulary(accepted: DataFrame, min_count: int) -> DataFrame:
    """token, token_id and count of the words that occur at least min_count times in training, the most frequent first.

    Words of equal count are in alphabetical order. The reserved tokens come first, with count 0.
    """
    counts = (
        accepted.where("split = 'train'")
        .select(F.explode("words").alias("token"))
        .groupBy("token")
        .agg(F.count("*").alias("count"))
        .where(F.col("count") >= min_count)
    )
    rank = F.row_number().over(Window.orderBy(F.desc("count"), "token")) + len(RESERVED) - 1
    ranked = counts.select("token", rank.alias("token_id"), "count")
    reserved = [(token, number, 0) for number, token in enumerate(RESERVED)]
    return accepted.sparkSession.createDataFrame(reserved, "token string, token_id int, count long").unionByName(ranked)


def tokenize(accepted: DataFrame, vocabulary: DataFrame, max_length: int, fingerprint: str) -> DataFrame:
    """The table `tokens`: image_id, caption_no, split, token_ids (of the caption's words in order) and vocabulary."""
    single_words = accepted.select("image_id", "caption_no", "split", F.posexplode("words").alias("position", "token"))
    known = F.broadcast(vocabulary.select("token", "token_id"))
    numbered = single_words.join(known, "token", "left").withColumn("token_id", F.coalesce("token_id", F.lit(UNKNOWN)))
    in_order = F.array_sort(F.collect_list(F.struct("position", "token_id")))["token_id"]
    return (
        numbered.groupBy("image_id", "caption_no", "split")
        .agg(in_order.alias("ids"))
        .select(
            "image_id",
            "caption_no",
            "split",
            caption_ids(F.col("ids"), max_length).alias("token_ids"),
            F.lit(fingerprint).alias("vocabulary"),
        )
    )
