"""How captions become words and words become numbers, as Spark column expressions that run in the JVM."""

from __future__ import annotations

import hashlib

from pyspark.sql import Column
from pyspark.sql import functions as F

PADDING, START, END, UNKNOWN = 0, 1, 2, 3
# Normalised words hold no punctuation, so these can never be words of a caption.
RESERVED = ("<pad>", "<start>", "<end>", "<unk>")


def words(text: Column, letters_only: bool = False) -> Column:
    """The words of a caption, array<string>: lower case, punctuation and symbols removed, split at white space.

    `letters_only` also drops one-letter words and words that hold anything but letters.
    """
    plain = F.regexp_replace(F.lower(text), r"[\p{P}\p{S}\p{Cc}&&[^\s]]", "")
    found = F.filter(F.split(plain, r"[\s\p{Z}]+"), lambda word: word != "")
    return F.filter(found, lambda word: word.rlike(r"^\p{L}{2,}$")) if letters_only else found


def caption_ids(ids: Column, max_length: int) -> Column:
    """Token ids of a caption, array<int>: start, words, end; cut to the max_length + 1 that max_length LSTM steps need."""
    bounded = F.concat(F.array(F.lit(START)), ids, F.array(F.lit(END)))
    return F.slice(bounded, 1, max_length + 1)


def vocabulary_fingerprint(tokens: list[str], max_length: int, letters_only: bool) -> str:
    """Names a vocabulary (tokens in order of token_id) together with the cleaning that its captions went through."""
    text = "\n".join([f"{max_length} {letters_only}", *tokens])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
