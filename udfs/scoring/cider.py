"""CIDEr-D (Vedantam et al., 2015, "CIDEr: Consensus-based image description evaluation") as two maps and two reduces.

First in how many photos' references each n-gram occurs, then each caption's similarity to its references, whose mean is the
score. The same numbers as the COCO caption evaluation's `CiderScorer`, on words as they are given here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import pandas as pd

ORDERS = (1, 2, 3, 4)
SIGMA = 6.0  # words by which lengths may differ; section 6 of the paper
SCALE = 10.0


def ngrams(words: list[str]) -> list[Counter]:
    """How often each n-gram occurs, for n = 1..4; an n-gram is its words joined by spaces."""
    return [Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1)) for n in ORDERS]


def count_documents(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The first map step: rows with `references` (normalised text) to (ngram, photos), the photos that have it in one."""
    found = Counter()
    for rows in batches:
        for references in rows.references:
            found.update({gram for text in references for counts in ngrams(text.split()) for gram in counts})
    if found:
        yield pd.DataFrame({"ngram": list(found), "photos": list(found.values())})


def cider_d(hypothesis: list[str], references: list[list[str]], documents: dict[str, int], photos: int) -> float:
    """A caption's CIDEr-D against its references, from 0 to 10.

    Arguments:
        documents: in how many of the evaluated photos' references an n-gram occurs; one that is not there counts as 1.
        photos: the number of evaluated photos.
    """
    own = _vectors(hypothesis, documents, photos)
    total = 0.0
    for reference in references:
        # The lengths are counted in bigrams, as in the reference implementation.
        apart = max(len(hypothesis) - 1, 0) - max(len(reference) - 1, 0)
        alike = sum(map(_similarity, own, _vectors(reference, documents, photos)))
        total += alike / len(ORDERS) * math.exp(-(apart**2) / (2 * SIGMA**2))
    return SCALE * total / len(references)


def _vectors(words: list[str], documents: dict[str, int], photos: int) -> list[dict[str, float]]:
    """The tf-idf weights of a text's n-grams for n = 1..4 (section 4)."""
    every = math.log(photos)
    return [
        {gram: count * (every - math.log(documents.get(gram, 1))) for gram, count in counts.items()}
        for counts in ngrams(words)
    ]


def _similarity(own: dict[str, float], other: dict[str, float]) -> float:
    """The cosine of two vectors, with the caption's weights clipped to the reference's (section 6)."""
    norm = math.sqrt(sum(x * x for x in own.values()) * sum(x * x for x in other.values()))
    if not norm:
        return 0.0
    return sum(min(weight, other[gram]) * other[gram] for gram, weight in own.items() if gram in other) / norm
