"""The captions in a file of the examples table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from udfs.engine.task import Batch


@dataclass(frozen=True)
class CaptionExamples:
    """The captions in a file: photo float16 (rows, size), tokens int32 (rows, captions, width), and captions per row."""

    photo: np.ndarray
    tokens: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return int(self.counts.sum())

    def lengths(self) -> np.ndarray:
        rows, captions = self._places
        return (self.tokens[rows, captions] != 0).sum(axis=1)

    def take(self, positions: np.ndarray) -> Batch:
        rows, captions = (places[positions] for places in self._places)
        return self.tokens[rows, captions], self.photo[rows].astype("float32")

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and number of each caption, in order."""
        rows, captions = np.nonzero(np.arange(self.tokens.shape[1])[None, :] < self.counts[:, None])
        return rows, captions
