"""Which pixels a score depends on: three maps, of functions that need not be captioners.

A map is float32 (scores, height, width) or coarser; larger is more. `photo` is float32 (height, width, 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
from PIL import Image


def grad_cam(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Gradient-weighted class activation maps (Selvaraju et al., 2017, equations 1 and 2), in the maps' resolution.

    maps: (rows, columns, channels) of a convolution. gradients: (scores, rows, columns, channels), of each score at them.
    Returns: the positive part of the channels' sum, weighted by their mean gradients; (scores, rows, columns).
    """
    weights = gradients.mean(axis=(1, 2))
    return np.maximum(np.einsum("sk,ijk->sij", weights, maps), 0)


def smooth_grad(
    gradients: Callable[[np.ndarray], np.ndarray],
    photo: np.ndarray,
    samples: int,
    noise: float = 0.15,
    batch_size: int = 8,
    seed: int = 0,
) -> np.ndarray:
    """SmoothGrad (Smilkov et al., 2017): the gradient at the pixels, averaged over noisy copies of the photo.

    gradients: of pixels (n, height, width, 3) to (scores, height, width, 3), summed over the n. noise: the standard
    deviation of the noise, as a share of the photo's range. Returns: the channels' summed absolute values.
    """
    rng, total = np.random.default_rng(seed), 0
    spread = noise * float(photo.max() - photo.min())
    for start in range(0, samples, batch_size):
        count = min(batch_size, samples - start)
        total = total + gradients(photo + rng.normal(0, spread, (count, *photo.shape)).astype("float32"))
    return np.abs(total / samples).sum(axis=-1)


def occlusion(
    scores: Callable[[np.ndarray], np.ndarray],
    photo: np.ndarray,
    patch: int,
    stride: int,
    fill: np.ndarray,
    batch_size: int = 32,
) -> np.ndarray:
    """Occlusion (Zeiler and Fergus, 2014): how far each score falls when a square of `patch` pixels is hidden.

    scores: of pixels (n, height, width, 3) to (n, scores). fill: what hides, (3,) or like the photo. The square moves by
    `stride` pixels. Returns: each pixel's mean over the squares that hid it, below 0 where hiding raised the score, 0 where
    no square came.
    """
    height, width, _ = photo.shape
    corners = [(row, column) for row in starts(height, patch, stride) for column in starts(width, patch, stride)]
    hidden = (_covered(photo, fill, row, column, patch) for row, column in corners)
    found = in_batches(scores, hidden, batch_size)
    falls = scores(photo[None])[0] - found
    total, count = np.zeros((falls.shape[1], height, width), "float32"), np.zeros((height, width), "float32")
    for (row, column), fall in zip(corners, falls, strict=True):
        place = slice(row, row + patch), slice(column, column + patch)
        total[(slice(None), *place)] += fall[:, None, None]
        count[place] += 1
    return total / np.maximum(count, 1)


def starts(length: int, patch: int, stride: int) -> list[int]:
    """Where squares begin that cover a side of so many pixels; the last one ends where the side does."""
    last = max(length - patch, 0)
    return sorted({*range(0, last, stride), last})


def in_batches(scores: Callable[[np.ndarray], np.ndarray], photos: Iterable[np.ndarray], batch_size: int) -> np.ndarray:
    """The scores of many photos, (photos, scores), with no more than a batch of photos in memory."""
    photos: Iterator[np.ndarray] = iter(photos)
    found = []
    while batch := list(islice(photos, batch_size)):
        found.append(np.asarray(scores(np.stack(batch))))
    return np.concatenate(found)


def enlarge(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps stretched to (height, width), bilinearly."""
    if maps.shape[1:] == size:
        return maps
    return np.stack([Image.fromarray(each.astype("float32")).resize(size[::-1], Image.BILINEAR) for each in maps])


def _covered(photo: np.ndarray, fill: np.ndarray, row: int, column: int, patch: int) -> np.ndarray:
    place, covered = (slice(row, row + patch), slice(column, column + patch)), photo.copy()
    covered[place] = np.broadcast_to(fill, photo.shape)[place]
    return covered
