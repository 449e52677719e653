"""The contribution of one caption to the scores, in whole numbers, so that sums do not depend on the order of addition."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from udfs.captioner.words import is_unspaced
from udfs.scoring.bleu import ORDERS, bleu_counts
from udfs.scoring.cider import cider_d
from udfs.scoring.rouge import rouge_l

UNITS = 10**6  # CIDEr-D and ROUGE-L are counted in millionths
BLEU_NUMBERS = 2 * len(ORDERS) + 2  # numbers per caption that BLEU needs
NUMBERS = BLEU_NUMBERS + 3  # and CIDEr-D, ROUGE-L, and the number of captions


def count_captions(documents, photos: int, batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Counts each caption (the map step of the scores).

    Args:
        documents: A Spark broadcast of {n-gram: photos}; see `udfs.scoring.cider.cider_d`.
        photos: The number of evaluated photos.
        batches: Rows (system, image_id, hypothesis, references); captions are normalised text.

    Yields:
        Rows (system, image_id, hypothesis, counts). `counts` is a list of NUMBERS whole numbers: the row of `BleuCounts`,
        CIDEr-D and ROUGE-L in 1 / UNITS, and 1 for the caption itself.
    """
    for rows in batches:
        counts = [
            _counts(hypothesis.split(), [reference.split() for reference in references], documents.value, photos)
            for hypothesis, references in zip(rows.hypothesis, rows.references, strict=True)
        ]
        yield rows[["system", "image_id", "hypothesis"]].assign(counts=counts)


def count_units(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Counts the units that n-grams consist of, and those that are single characters of writing without spaces.

    Args:
        batches: Rows with `references`, lists of normalised texts.

    Yields:
        One row (units, characters) for each batch.
    """
    for rows in batches:
        units = [unit for references in rows.references for text in references for unit in text.split()]
        yield pd.DataFrame({"units": [len(units)], "characters": [sum(map(is_unspaced, units))]})


def _counts(hypothesis: list[str], references: list[list[str]], documents: dict[str, int], photos: int) -> list[int]:
    scores = cider_d(hypothesis, references, documents, photos), rouge_l(hypothesis, references)
    return [*bleu_counts(hypothesis, references).as_row(), *(round(UNITS * score) for score in scores), 1]
