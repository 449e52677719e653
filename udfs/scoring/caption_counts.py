"""What scores need of one caption, as whole numbers, so that their sums do not depend on the order of adding."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from udfs.scoring.bleu import bleu_counts
from udfs.scoring.cider import cider_d

CIDER_UNITS = 10**6  # CIDEr-D is counted in millionths


def measure(documents, photos: int, batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Maps rows (system, image_id, hypothesis, references), normalised text both, to (system, image_id, counts).

    counts: BLEU's matches and totals for n = 1..4 and both lengths, CIDEr-D, and 1 for the caption itself.
    documents: a Spark broadcast of the photos that an n-gram's references belong to; photos: the number of photos.
    """
    for rows in batches:
        counts = [
            _counts(hypothesis.split(), [reference.split() for reference in references], documents.value, photos)
            for hypothesis, references in zip(rows.hypothesis, rows.references, strict=True)
        ]
        yield pd.DataFrame({"system": rows.system, "image_id": rows.image_id, "counts": counts})


def _counts(hypothesis: list[str], references: list[list[str]], documents: dict[str, int], photos: int) -> list[int]:
    similarity = round(CIDER_UNITS * cider_d(hypothesis, references, documents, photos))
    return [*bleu_counts(hypothesis, references).as_row(), similarity, 1]
