"""The captions in a file of the examples table, and batches of them that hold each photo once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from udfs.engine.task import Batch

MIRRORING = 1  # distinguishes these random numbers from those of the order


@dataclass(frozen=True)
class CaptionExamples:
    """The captions in a file.

    Attributes:
        photo: Features, float16 (rows, *feature shape).
        tokens: int32 (rows, captions, width); unused captions are zeros.
        counts: Captions per row.
        by_photo: Whether an example is a photo with all of its captions; otherwise it is a caption with its photo.
        mirrored: Features of the mirrored photos, as `photo`; None if they are not used.
        is_mirrored: Rows whose photo is mirrored, bool (rows,); None for none.
    """

    photo: np.ndarray
    tokens: np.ndarray
    counts: np.ndarray
    by_photo: bool = False
    mirrored: np.ndarray | None = None
    is_mirrored: np.ndarray | None = None

    def with_some_mirrored(self, share: float, seed: tuple[int, ...]) -> CaptionExamples:
        """The same examples with this share of the photos mirrored, which the seed determines."""
        drawn = np.random.default_rng((*seed, MIRRORING)).random(len(self.counts)) < share
        return replace(self, is_mirrored=drawn)

    def __len__(self) -> int:
        return len(self.counts) if self.by_photo else int(self.counts.sum())

    def lengths(self) -> np.ndarray:
        """Words of each example; of a photo, those of its longest caption."""
        lengths = (self.tokens != 0).sum(axis=2)
        return lengths.max(axis=1) if self.by_photo else lengths[self._places]

    def take(self, positions: np.ndarray) -> Batch:
        if self.by_photo:
            counts, captions_of = self.counts[positions], [np.arange(count) for count in self.counts[positions]]
            rows, captions = np.repeat(positions, counts), np.concatenate(captions_of)
            photos, photo_of_caption = positions, np.repeat(np.arange(len(positions)), counts)
        else:
            rows, captions = (places[positions] for places in self._places)
            photos, photo_of_caption = np.unique(rows, return_inverse=True)
        return self.tokens[rows, captions], photo_of_caption.astype("int32"), self._features(photos)

    def _features(self, rows: np.ndarray) -> np.ndarray:
        features = self.photo[rows]
        if self.mirrored is not None and self.is_mirrored is not None:
            chosen = self.is_mirrored[rows]
            features[chosen] = self.mirrored[rows[chosen]]
        return features

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
