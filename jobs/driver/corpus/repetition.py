"""How often the training captions repeat their words, and what to do if a vocabulary of them is of little use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.schema import Text
from udfs.captioner.text import RESERVED
from udfs.errors import InputError

MOST_UNKNOWN = 0.5  # share of a corpus's words outside the vocabulary
LEAST_REPEATS = 2.0  # occurrences of a word, on average
SINGLE = r"^[\p{IsHan}\p{IsHiragana}]\p{M}*$"
MOST_SINGLE = 0.5  # share of words that are single Chinese or Japanese characters


@dataclass(frozen=True)
class Repetition:
    """Counts of the tokens of the training captions.

    Attributes:
        captions: The captions.
        tokens: Their tokens.
        distinct: Different tokens.
        unknown: Tokens that are not in the vocabulary.
        single: Tokens that are a single Chinese or Japanese character.
        cut: Captions with more tokens than text.max_length.
        most_frequent: The most frequent token, and how often it occurs.
    """

    captions: int
    tokens: int
    distinct: int
    unknown: int
    single: int
    cut: int
    most_frequent: tuple[str, int]


def measure_repetition(accepted: DataFrame, counts: DataFrame, text: Text) -> Repetition:
    """Summarises the tokens of the training captions: the column `words`, and its `count_tokens`."""
    training = accepted.where("split = 'train'")
    sizes = training.agg(
        F.count("*").alias("captions"), F.count_if(F.size("words") > text.max_length).alias("cut")
    ).first()
    rare = (F.col("count") < text.min_count) | F.col("token").isin(*RESERVED)
    single = F.col("token").rlike(SINGLE)

    def occurrences(condition) -> Any:
        return F.coalesce(F.sum(F.when(condition, F.col("count"))), F.lit(0))

    sums = counts.agg(
        occurrences(F.lit(True)).alias("tokens"),
        F.count("*").alias("distinct"),
        occurrences(rare).alias("unknown"),
        occurrences(single).alias("single"),
        F.max(F.struct("count", "token")).alias("most_frequent"),
    ).first()
    token, count = (sums.most_frequent.token, sums.most_frequent["count"]) if sums.tokens else ("", 0)
    return Repetition(sizes.captions, sums.tokens, sums.distinct, sums.unknown, sums.single, sizes.cut, (token, count))


def require_repetition(text: Text, counts: Repetition) -> None:
    """Raises InputError if no token of the training captions is in the vocabulary."""
    if counts.unknown < counts.tokens:
        return
    token, count = counts.most_frequent
    words = "words" if text.tokenizer == "words" else "subwords"
    advice = f"lower text.min_count to {count} or less" if count > 1 else "set text.min_count=1"
    if text.tokenizer == "words":
        advice += ", or set text.tokenizer=subwords if the language is written without spaces"
    found = f"the most frequent, {_shortened(token)!r}, occurs {count} times" if count else "they have none"
    raise InputError(
        f"text.min_count: found {text.min_count}, but none of the {counts.distinct:,} different {words} of the "
        f"{counts.captions:,} training captions occurs so often ({found}), and the vocabulary would be empty; {advice}"
    )


def repetition_warnings(text: Text, counts: Repetition) -> list[str]:
    """What is unfavourable about a vocabulary of these tokens, with numbers and advice."""
    warnings = []
    if text.tokenizer == "words" and counts.tokens:
        unknown, repeats = counts.unknown / counts.tokens, counts.tokens / counts.distinct
        single, length = counts.single / counts.tokens, counts.tokens / counts.captions
        if unknown > MOST_UNKNOWN or repeats < LEAST_REPEATS:
            warnings.append(
                f"text.tokenizer=words: the words of the training captions hardly repeat: {counts.distinct:,} different words "
                f"occur {repeats:.1f} times each on average, and {unknown:.0%} of all {counts.tokens:,} occur fewer than "
                f"{text.min_count} times (text.min_count) and are unknown to the captioner; if the language is written "
                f"without spaces ({length:.1f} words a caption), set text.tokenizer=subwords"
            )
        elif single > MOST_SINGLE:
            warnings.append(
                f"text.tokenizer=words: {single:.0%} of the words of the training captions are single Chinese or Japanese "
                f"characters, {length:.1f} words a caption; text.tokenizer=subwords makes words of the frequent sequences"
            )
    if counts.cut > 0.01 * counts.captions:
        warnings.append(
            f"text.max_length: {counts.cut:,} of {counts.captions:,} training captions have more than {text.max_length} "
            f"{text.tokenizer} and are cut; raise it to keep them"
        )
    return warnings


def _shortened(token: str) -> str:
    return token if len(token) <= 30 else f"{token[:30]}..."
