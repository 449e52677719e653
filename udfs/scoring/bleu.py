"""BLEU (Papineni et al., 2002) as a map and a reduce: n-gram counts a caption, summed, then the score.

The counts are nltk's own (`nltk.translate.bleu_score`), and the score of the sums equals its `corpus_bleu` without
smoothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

ORDERS = (1, 2, 3, 4)
# Of each n-gram's precision in BLEU-1..4: the mean, and what the tutorial code behind many published figures takes.
UNIFORM = {order: (1 / order,) * order for order in ORDERS}
LEGACY_WEIGHTS = {1: (1.0,), 2: (0.5, 0.5), 3: (0.3, 0.3, 0.3), 4: (0.25,) * 4}


@dataclass(frozen=True)
class BleuCounts:
    """Sums over captions: clipped n-gram matches and n-grams for n = 1..4, and the lengths of both sides in words."""

    matches: tuple[int, ...]
    totals: tuple[int, ...]
    hypothesis_length: int
    reference_length: int

    @staticmethod
    def from_row(row) -> BleuCounts:
        """The counts in a row of numbers as `as_row` gives it; rows add up like counts."""
        numbers, orders = [int(number) for number in row], len(ORDERS)
        return BleuCounts(tuple(numbers[:orders]), tuple(numbers[orders : 2 * orders]), *numbers[2 * orders :])

    def as_row(self) -> list[int]:
        return [*self.matches, *self.totals, self.hypothesis_length, self.reference_length]

    def __add__(self, other: BleuCounts) -> BleuCounts:
        return BleuCounts(
            tuple(a + b for a, b in zip(self.matches, other.matches, strict=True)),
            tuple(a + b for a, b in zip(self.totals, other.totals, strict=True)),
            self.hypothesis_length + other.hypothesis_length,
            self.reference_length + other.reference_length,
        )


def bleu_counts(hypothesis: list[str], references: list[list[str]]) -> BleuCounts:
    """The map step: the counts of one hypothesis against its references, both as words."""
    from nltk.translate.bleu_score import closest_ref_length, modified_precision

    precisions = [modified_precision(references, hypothesis, order) for order in ORDERS]
    return BleuCounts(
        tuple(p.numerator for p in precisions),
        tuple(p.denominator for p in precisions),
        len(hypothesis),
        closest_ref_length(references, len(hypothesis)),
    )


def count_batches(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Adds the counts of `hypothesis` against `references`, normalised text both, to batches of rows."""
    for rows in batches:
        counts = [
            bleu_counts(hypothesis.split(), [reference.split() for reference in references])
            for hypothesis, references in zip(rows.hypothesis, rows.references, strict=True)
        ]
        yield pd.concat([rows, pd.DataFrame([vars(count) for count in counts], index=rows.index)], axis=1)


def bleu_scores(counts: BleuCounts, weights: dict[int, tuple[float, ...]] = UNIFORM) -> dict[str, float]:
    """The reduce step's end: bleu1..bleu4 of summed counts, each in [0, 1].

    BLEU-N = BP exp(sum_n w_n log p_n), with BP = min(1, exp(1 - r/c)) (Papineni et al., 2002, section 2.3). No n-gram in
    common makes the score 0, where nltk says about 1e-77 and warns.
    """
    if not counts.hypothesis_length:
        return {f"bleu{order}": 0.0 for order in ORDERS}
    brevity = min(1.0, math.exp(1 - counts.reference_length / counts.hypothesis_length))
    pairs = zip(counts.matches, counts.totals, strict=True)
    logs = [math.log(match / total) if match else -math.inf for match, total in pairs]
    return {
        f"bleu{order}": brevity * math.exp(sum(weight * log for weight, log in zip(weights[order], logs, strict=False)))
        for order in ORDERS
    }
