"""CIDEr-D (Vedantam et al., 2015, "CIDEr: Consensus-based image description evaluation") as two map and reduce steps.

The first counts in how many photos' references each n-gram occurs. The second computes each caption's similarity to its
references; their mean is the score. The results equal those of the COCO caption evaluation's `CiderScorer`, but for its
tokeniser: here, words are given.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

ORDERS = (1, 2, 3, 4)
SIGMA = 6.0  # standard deviation of the length penalty, in words (section 6 of the paper)
SCALE = 10.0


def ngram_counts(words: list[str]) -> list[Counter]:
    """Returns how often each n-gram occurs, for n = 1..4. An n-gram is its words joined by spaces."""
    return [Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1)) for n in ORDERS]


def count_documents(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Counts photos per n-gram (the first map step).

    Args:
        batches: A row per photo with `references`, a list of normalised texts.

    Yields:
        Rows (ngram, photos): the number of photos with the n-gram in at least one reference.
    """
    documents = Counter()
    for rows in batches:
        for references in rows.references:
            documents.update({gram for text in references for counts in ngram_counts(text.split()) for gram in counts})
    if documents:
        yield pd.DataFrame({"ngram": list(documents), "photos": list(documents.values())})


def cider_d(hypothesis: list[str], references: list[list[str]], documents: dict[str, int], photos: int) -> float:
    """Computes a caption's CIDEr-D.

    Args:
        hypothesis: The caption's words.
        references: The words of each reference, at least one.
        documents: {n-gram: the number of evaluated photos with it in a reference}. Other n-grams count as 1.
        photos: The number of evaluated photos.

    Returns:
        The score, from 0 to 10.
    """
    vectors = [
        Vectors(len(words), tf_idf(ngram_counts(words), documents, photos)) for words in (hypothesis, *references)
    ]
    return cider_d_of(vectors[0], vectors[1:])


class Vectors(NamedTuple):
    """A text as CIDEr-D compares it: its words, and the tf-idf weights of its n-grams for n = 1..4."""

    length: int
    weights: list[dict[str, float]]


def cider_d_of(hypothesis: Vectors, references: Sequence[Vectors]) -> float:
    """Computes a caption's CIDEr-D, as `cider_d` does, from vectors that were computed before."""
    total = 0.0
    for reference in references:
        # The reference implementation counts lengths in bigrams.
        difference = max(hypothesis.length - 1, 0) - max(reference.length - 1, 0)
        similarity = sum(map(_similarity, hypothesis.weights, reference.weights))
        total += similarity / len(ORDERS) * math.exp(-(difference**2) / (2 * SIGMA**2))
    return SCALE * total / len(references)


def tf_idf(counts: list[Counter], documents: Mapping[str, int], photos: int) -> list[dict[str, float]]:
    """The tf-idf weights of a text's n-grams, given their counts for n = 1..4 (section 4)."""
    log_photos = math.log(photos)
    return [
        {gram: count * (log_photos - math.log(documents.get(gram) or 1)) for gram, count in grams.items()}
        for grams in counts
    ]


def _similarity(hypothesis: dict[str, float], reference: dict[str, float]) -> float:
    """The cosine of two vectors, with the caption's weights clipped to the reference's (section 6)."""
    norm = math.sqrt(sum(x * x for x in hypothesis.values()) * sum(x * x for x in reference.values()))
    if not norm:
        return 0.0
    products = (
        min(weight, reference[gram]) * reference[gram] for gram, weight in hypothesis.items() if gram in reference
    )
    return sum(products) / norm
