"""Captions as columns of words, as token ids, and what identifies a vocabulary."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from udfs.captioner.words import NORMALISATION, scored_words, words_of

PADDING, START, END, UNKNOWN = 0, 1, 2, 3
# Words contain no punctuation and subwords only "▁", so no token of a caption can equal one of these.
RESERVED = ("<pad>", "<start>", "<end>", "<unk>")


def words(text: Column, letters_only: bool = False) -> Column:
    """Normalises captions and splits them into words, as `udfs.captioner.words` describes.

    Args:
        text: The captions, string.
        letters_only: Whether words of one letter, and words with anything but letters and their marks, are dropped.

    Returns:
        The words, array<string>; null for null.
    """
    spaced = F.pandas_udf(_spaced_words, StringType())(F.make_valid_utf8(text))
    parts = F.when(spaced == "", F.array().cast("array<string>")).otherwise(F.split(spaced, " "))
    return F.filter(parts, lambda word: word.rlike(r"^(\p{L}\p{M}*){2,}$")) if letters_only else parts


def scored_text(text: Column) -> Column:
    """Returns captions in the form in which they are compared: the units of `scored_words`, joined by spaces."""
    return F.pandas_udf(_spaced_units, StringType())(F.make_valid_utf8(text))


def caption_ids(tokens: pa.ListArray, vocabulary: pa.Array, max_length: int) -> pa.ListArray:
    """Returns the token ids of captions with the start and end tokens.

    Args:
        tokens: The words or subwords of each caption, list<string>.
        vocabulary: The tokens in order of token_id. Other words become UNKNOWN.
        max_length: The number of LSTM steps. They predict max_length tokens, so that longer captions are cut to
            max_length + 1 ids; a cut caption has no end token.

    Returns:
        list<int32>.
    """
    sizes = pc.list_value_length(tokens).to_numpy(zero_copy_only=False)
    ids = pc.fill_null(pc.index_in(tokens.flatten(), vocabulary), UNKNOWN).to_numpy(zero_copy_only=False)
    lengths = np.minimum(sizes + 2, max_length + 1)
    ends, firsts = np.cumsum(lengths), np.cumsum(sizes) - sizes
    place = np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
    size = np.repeat(sizes, lengths)
    source = np.repeat(firsts, lengths) + np.clip(place - 1, 0, np.maximum(size - 1, 0))
    ids = np.append(ids, END)  # captions without words, at the end, point beyond the last id
    bounded = np.where(place == 0, START, np.where(place > size, END, ids[source]))
    offsets = np.concatenate([[0], ends]).astype("int32")
    return pa.ListArray.from_arrays(offsets, pa.array(bounded, pa.int32()))


def vocabulary_fingerprint(
    tokens: list[str], max_length: int, letters_only: bool, tokenizer: str = "words", model: bytes = b""
) -> str:
    """Identifies a vocabulary together with the way in which captions become its tokens.

    A change of the rules in `udfs.captioner.words` (NORMALISATION) changes it, even if the tokens stay the same.

    Args:
        tokens: The tokens in order of token_id.
        max_length: The number of LSTM steps; see `caption_ids`.
        letters_only: As in `words`.
        tokenizer: `words` or `subwords`.
        model: The model that splits captions into subwords.

    Returns:
        16 hexadecimal digits.
    """
    rules = f"{NORMALISATION} {tokenizer} {max_length} {letters_only} {hashlib.sha256(model).hexdigest()}"
    return hashlib.sha256("\n".join([rules, *tokens]).encode()).hexdigest()[:16]


def _spaced_words(texts: pd.Series) -> pd.Series:
    return texts.map(lambda text: " ".join(words_of(text)), na_action="ignore")


def _spaced_units(texts: pd.Series) -> pd.Series:
    return texts.map(lambda text: " ".join(scored_words(words_of(text))), na_action="ignore")
