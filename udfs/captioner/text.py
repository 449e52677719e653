"""Turns captions into words and words into numbers, with Spark column expressions that run in the JVM."""

from __future__ import annotations

import hashlib

from pyspark.sql import Column
from pyspark.sql import functions as F

PADDING, START, END, UNKNOWN = 0, 1, 2, 3
# Normalised words contain no punctuation, so no word of a caption can equal one of these.
RESERVED = ("<pad>", "<start>", "<end>", "<unk>")


def words(text: Column, letters_only: bool = False) -> Column:
    """Normalises captions and splits them into words.

    Text becomes lower case, punctuation, symbols and control characters are removed, and white space separates words:
    `"A dog's ball, on grass!"` becomes `["a", "dogs", "ball", "on", "grass"]`.

    Args:
        text: The captions, string.
        letters_only: Whether words of one letter, and words with anything but letters, are dropped.

    Returns:
        The words, array<string>.
    """
    plain = F.regexp_replace(F.lower(text), r"[\p{P}\p{S}\p{Cc}&&[^\s]]", "")
    parts = F.filter(F.split(plain, r"[\s\p{Z}]+"), lambda word: word != "")
    return F.filter(parts, lambda word: word.rlike(r"^\p{L}{2,}$")) if letters_only else parts


def caption_ids(ids: Column, max_length: int) -> Column:
    """Returns the token ids of captions with the start and end tokens.

    Args:
        ids: The token ids of the words, array<int>.
        max_length: The number of LSTM steps. They predict max_length tokens, so that longer captions are cut to
            max_length + 1 ids; a cut caption has no end token.

    Returns:
        Token ids, array<int>.
    """
    bounded = F.concat(F.array(F.lit(START)), ids, F.array(F.lit(END)))
    return F.slice(bounded, 1, max_length + 1)


def vocabulary_fingerprint(tokens: list[str], max_length: int, letters_only: bool) -> str:
    """Identifies a vocabulary together with the normalisation of its captions.

    Args:
        tokens: The tokens in order of token_id.
        max_length: The number of LSTM steps; see `caption_ids`.
        letters_only: As in `words`.

    Returns:
        16 hexadecimal digits.
    """
    text = "\n".join([f"{max_length} {letters_only}", *tokens])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
