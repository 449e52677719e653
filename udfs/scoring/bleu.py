"""BLEU (Papineni et al., 2002) as a map and a reduce step: the n-gram counts of each caption, their sum, and its score.

nltk (`nltk.translate.bleu_score`) counts, and the score of the sums equals its `corpus_bleu` without smoothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

ORDERS = (1, 2, 3, 4)
# Weights of the n-gram precisions in BLEU-1..4: uniform ones, and those of the tutorial behind many published scores.
UNIFORM = {order: (1 / order,) * order for order in ORDERS}
LEGACY_WEIGHTS = {1: (1.0,), 2: (0.5, 0.5), 3: (0.3, 0.3, 0.3), 4: (0.25,) * 4}


@dataclass(frozen=True)
class BleuCounts:
    """Sums over captions. The counts of several captions are added with `+`.

    Attributes:
        matches: Clipped n-gram matches for n = 1..4.
        totals: N-grams in the captions for n = 1..4.
        hypothesis_length: Words in the captions.
        reference_length: Words in each caption's reference of the closest length.
    """

    matches: tuple[int, ...]
    totals: tuple[int, ...]
    hypothesis_length: int
    reference_length: int

    @staticmethod
    def from_row(row: Iterable[float]) -> BleuCounts:
        """Returns the counts in a row of numbers that `as_row` returned, or in a sum of such rows."""
        numbers, orders = [int(number) for number in row], len(ORDERS)
        return BleuCounts(tuple(numbers[:orders]), tuple(numbers[orders : 2 * orders]), *numbers[2 * orders :])

    def as_row(self) -> list[int]:
        """Returns matches, totals and both lengths as one row of 2 * len(ORDERS) + 2 numbers."""
        return [*self.matches, *self.totals, self.hypothesis_length, self.reference_length]

    def __add__(self, other: BleuCounts) -> BleuCounts:
        return BleuCounts(
            tuple(a + b for a, b in zip(self.matches, other.matches, strict=True)),
            tuple(a + b for a, b in zip(self.totals, other.totals, strict=True)),
            self.hypothesis_length + other.hypothesis_length,
            self.reference_length + other.reference_length,
        )


def bleu_counts(hypothesis: list[str], references: list[list[str]]) -> BleuCounts:
    """Counts one caption (the map step).

    Args:
        hypothesis: The caption's words.
        references: The words of each reference, at least one.
    """
    from nltk.translate.bleu_score import closest_ref_length, modified_precision

    precisions = [modified_precision(references, hypothesis, order) for order in ORDERS]
    return BleuCounts(
        tuple(precision.numerator for precision in precisions),
        tuple(precision.denominator for precision in precisions),
        len(hypothesis),
        closest_ref_length(references, len(hypothesis)),
    )


def add_bleu_counts(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Adds the columns of `BleuCounts` to rows with `hypothesis` and `references`, both normalised text."""
    for rows in batches:
        counts = [
            bleu_counts(hypothesis.split(), [reference.split() for reference in references])
            for hypothesis, references in zip(rows.hypothesis, rows.references, strict=True)
        ]
        yield pd.concat([rows, pd.DataFrame([vars(count) for count in counts], index=rows.index)], axis=1)


def brevity_penalty(counts: BleuCounts) -> float:
    """Computes BLEU's brevity penalty min(1, exp(1 - r/c)) of summed counts (Papineni et al., 2002, section 2.2.2).

    It is 1 if the captions are together as long as their closest references, and 0 if they have no words.
    """
    if not counts.hypothesis_length:
        return 0.0
    return min(1.0, math.exp(1 - counts.reference_length / counts.hypothesis_length))


def mean_precisions(counts: BleuCounts, weights: dict[int, tuple[float, ...]] = UNIFORM) -> dict[str, float]:
    """Computes BLEU-1..4 of summed counts without brevity penalty: exp(sum_n w_n log p_n); see `bleu_scores`."""
    pairs = zip(counts.matches, counts.totals, strict=True)
    logs = [math.log(match / total) if match else -math.inf for match, total in pairs]
    return {
        f"bleu{order}": math.exp(sum(weight * log for weight, log in zip(weights[order], logs, strict=False)))
        for order in ORDERS
    }


def bleu_scores(counts: BleuCounts, weights: dict[int, tuple[float, ...]] = UNIFORM) -> dict[str, float]:
    """Computes BLEU-1..4 of summed counts (the end of the reduce step).

    BLEU-N = BP exp(sum_n w_n log p_n) with the brevity penalty BP (Papineni et al., 2002, section 2.3). If captions and
    references share no n-gram, the score is 0, where nltk returns about 1e-77 and warns.

    Args:
        counts: The sum over all captions.
        weights: {order N: weights of the precisions 1..N}.

    Returns:
        {"bleu1": ..., "bleu4": ...}, each in [0, 1].
    """
    penalty = brevity_penalty(counts)
    return {name: penalty * value for name, value in mean_precisions(counts, weights).items()}
