"""The vocabulary of the training captions, and captions as token ids."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from udfs.captioner.subwords import split_captions, train_subwords
from udfs.captioner.text import RESERVED, caption_ids

TRAINING_CAPTIONS = 1_000_000  # from which subwords are learned; more need minutes and change little
IDS_SCHEMA = "image_id string, caption_no int, split string, token_ids array<int>"


def count_tokens(accepted: DataFrame) -> DataFrame:
    """token and count of each token of the training captions (the column `words`)."""
    tokens = accepted.where("split = 'train'").select(F.explode("words").alias("token"))
    return tokens.groupBy("token").agg(F.count("*").alias("count"))


def build_vocabulary(counts: DataFrame, min_count: int, model: bytes = b"") -> DataFrame:
    """token, token_id and count of the tokens that occur at least min_count times in training, the most frequent first.

    Tokens of equal count are in alphabetical order. The reserved tokens come first, with count 0. If there is a model of
    subwords, the column `model` has it in the first row, and is null in the others.
    """
    kept = counts.where((F.col("count") >= min_count) & ~F.col("token").isin(*RESERVED))
    rank = F.row_number().over(Window.orderBy(F.desc("count"), "token")) + len(RESERVED) - 1
    ranked = kept.select("token", rank.alias("token_id"), "count")
    reserved = [(token, number, 0) for number, token in enumerate(RESERVED)]
    rows = counts.sparkSession.createDataFrame(reserved, "token string, token_id int, count long").unionByName(ranked)
    return rows.withColumn("model", F.when(F.col("token_id") == 0, F.lit(bytearray(model)))) if model else rows


def stored_model(vocabulary: DataFrame) -> bytes:
    """The model of subwords in the table `vocabulary`; empty if its tokens are words."""
    if "model" not in vocabulary.columns:
        return b""
    return bytes(vocabulary.where("model IS NOT NULL").first().model)


def learn_subwords(accepted: DataFrame, most: int) -> bytes:
    """Trains the model that splits captions into at most `most` subwords on the training captions.

    If there are more than TRAINING_CAPTIONS, it is trained on those with the smallest hashes.
    """
    captions = accepted.where("split = 'train'").select("image_id", "caption_no", "text")
    chosen = captions.orderBy(F.xxhash64("image_id", "caption_no"), "image_id", "caption_no").limit(TRAINING_CAPTIONS)
    return train_subwords((row.text for row in chosen.toLocalIterator()), most)


def with_subwords(accepted: DataFrame, model: bytes) -> DataFrame:
    """The captions with their subwords as the column `words`."""
    shipped = accepted.sparkSession.sparkContext.broadcast(model)
    rows = accepted.withColumn("text", F.make_valid_utf8("text"))
    return rows.mapInArrow(partial(split_captions, shipped), rows.schema)


def tokenize(accepted: DataFrame, tokens: list[str], max_length: int, fingerprint: str) -> DataFrame:
    """The table `tokens`: image_id, caption_no, split, token_ids (of the caption's tokens in order) and vocabulary."""
    shipped = accepted.sparkSession.sparkContext.broadcast(tokens)
    rows = accepted.select("image_id", "caption_no", "split", "words")
    return rows.mapInArrow(partial(_number_captions, shipped, max_length), IDS_SCHEMA).withColumn(
        "vocabulary", F.lit(fingerprint)
    )


def _number_captions(tokens, max_length: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of IDS_SCHEMA from rows with `words`, in a Spark task."""
    vocabulary = pa.array(tokens.value, pa.string())
    for batch in batches:
        ids = caption_ids(batch.column("words"), vocabulary, max_length)
        columns = [*(batch.column(name) for name in ("image_id", "caption_no", "split")), ids]
        yield pa.RecordBatch.from_arrays(columns, names=["image_id", "caption_no", "split", "token_ids"])
