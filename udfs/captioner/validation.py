"""BLEU of the validation photos during training, from the examples that the workers hold."""

from __future__ import annotations

import numpy as np

from udfs.captioner.beam_search import Decoder
from udfs.captioner.text import END, PADDING, START
from udfs.engine.reader import Split, read_file
from udfs.scoring.bleu import ORDERS, bleu_counts

BATCH = 256


def count_ngrams(decoder: Decoder, split: Split, rank: int, workers: int) -> np.ndarray:
    """The summed BLEU counts of captions of the photos in rank's lanes, as a row.

    References are token ids. A word outside the vocabulary is one that no caption can hold, so the counts are those of the
    words, except that captions longer than text.max_length are cut off.
    """
    total = np.zeros(2 * len(ORDERS) + 2, "int64")
    for lane in split.lanes[rank::workers]:
        for file in lane:
            photo, tokens, counts = read_file(file, split.width)
            for start in range(0, len(photo), BATCH):
                part = slice(start, start + BATCH)
                for caption, rows, count in zip(decoder.captions(photo[part]), tokens[part], counts[part], strict=True):
                    total += bleu_counts(caption, [without_marks(row) for row in rows[:count]]).as_row()
    return total


def without_marks(row: np.ndarray) -> list[int]:
    """The token ids of a caption's words."""
    return [int(token) for token in row if token not in (PADDING, START, END)]
