"""BLEU of the validation photos during training, from the examples that the workers read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from udfs.captioner.beam_search import Decoder, Search
from udfs.captioner.examples import CaptionExamples
from udfs.captioner.text import END, PADDING, START, UNKNOWN
from udfs.captioner.vocabulary import joined_subwords
from udfs.captioner.words import scored_words
from udfs.scoring.bleu import ORDERS, BleuCounts, bleu_counts, bleu_scores

BATCH = 256
LENGTH_RATIO = "length_ratio"
# Captions of a captioner that learns well from its score become shorter, and better.
LONGEST, WORST = 1.25, 0.75


class BleuScorer:
    """Captions photos with the captioner as it is when called, and counts BLEU's n-grams.

    References are token ids. A word outside the vocabulary is one that no caption can contain, so the counts are those of the
    words, except that captions longer than text.max_length are cut. Subwords are joined to words, which are counted as in the
    scores of jobs/evaluate.py.

    Args:
        captioner: The model.
        max_length: The largest number of words in a caption.
        beam_width: Beam width; 1 is greedy decoding.
        subwords: The vocabulary by token_id if its tokens are subwords; otherwise empty.
        stops_collapse: Whether captions that grow too long or much worse end the training.
    """

    def __init__(
        self,
        captioner: Any,
        max_length: int,
        beam_width: int = 1,
        subwords: Sequence[str] = (),
        stops_collapse: bool = False,
    ):
        self._decoder = Decoder(captioner, max_length, Search(beam_width))
        self._subwords, self._stops_collapse = subwords, stops_collapse

    def count(self, files: Iterator[CaptionExamples]) -> np.ndarray:
        """The summed BLEU counts of one caption per photo, int64 (10,), as `BleuCounts.as_row` orders them."""
        total = np.zeros(2 * len(ORDERS) + 2, "int64")
        for examples in files:
            for start in range(0, len(examples.photo), BATCH):
                rows = slice(start, start + BATCH)
                captions = self._decoder.captions(examples.photo[rows])
                for caption, references, count in zip(
                    captions, examples.tokens[rows], examples.counts[rows], strict=True
                ):
                    units = [units_of(words_of(row), self._subwords) for row in references[:count]]
                    total += bleu_counts(units_of(caption, self._subwords), units).as_row()
        return total

    def scores(self, totals: np.ndarray) -> dict[str, float]:
        counts = BleuCounts.from_row(totals)
        return {**bleu_scores(counts), LENGTH_RATIO: counts.hypothesis_length / max(counts.reference_length, 1)}

    def stop_reason(self, history: Sequence[Mapping[str, float]]) -> str:
        if not self._stops_collapse:
            return ""
        last, best = history[-1], max(epoch["bleu4"] for epoch in history)
        if last[LENGTH_RATIO] > LONGEST:
            return f"collapsed: captions are {last[LENGTH_RATIO]:.2f} times as long as their references"
        if last["bleu4"] < WORST * best:
            return f"collapsed: BLEU-4 fell from {best:.3f} to {last['bleu4']:.3f}"
        return ""


def words_of(tokens: np.ndarray) -> list[int]:
    """The token ids of a caption's words, without padding, start and end."""
    return [int(token) for token in tokens if token not in (PADDING, START, END)]


def units_of(tokens: list[int], subwords: Sequence[str]) -> list[Any]:
    """What n-grams are counted of: the token ids of words, or the words (see `scored_words`) that subwords make up.

    An unknown subword is U+FFFD, which no caption has, so no caption contains its word.
    """
    if not subwords:
        return tokens
    text = joined_subwords("\ufffd" if token == UNKNOWN else subwords[token] for token in tokens)
    return scored_words(text.split())
