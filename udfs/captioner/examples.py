"""The captions in a file of the examples table, and batches of them that hold each photo once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from udfs.engine.task import Batch


@dataclass(frozen=True)
class CaptionExamples:
    """The captions in a file: photos (rows, *feature shape), tokens int32 (rows, captions, width), and captions per row."""

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
        photos, photo_of_caption = np.unique(rows, return_inverse=True)
        return self.tokens[rows, captions], photo_of_caption.astype("int32"), self.photo[photos]

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and number of each caption, in order."""
        rows, captions = np.nonzero(np.arange(self.tokens.shape[1])[None, :] < self.counts[:, None])
        return rows, captions


def joined(parts: list[Batch]) -> Batch:
    """One batch of several, without the columns in which all captions are padded.

    Args:
        parts: Batches (tokens, photo_of_caption, photos) of different photos.
    """
    tokens, photo_of_caption, photos = zip(*parts, strict=True)
    first = np.cumsum([0, *(len(part) for part in photos[:-1])])
    index = np.concatenate([part + start for part, start in zip(photo_of_caption, first, strict=True)])
    words = np.concatenate(tokens)
    longest = max(2, int((words != 0).sum(axis=1).max()))
    return words[:, :longest], index.astype("int32"), np.concatenate(photos)
