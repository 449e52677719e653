"""Saliency maps: which pixels a score depends on. The three methods explain any scores, not only those of captioners.

A map is float32 (scores, height, width) or coarser; a larger value is a stronger dependence. `photo` is float32 (height,
width, 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np
from PIL import Image


def grad_cam(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Gradient-weighted class activation maps (Selvaraju et al., 2017, equations 1 and 2), in the feature maps' resolution.

    Args:
        maps: The feature maps of a convolution, (rows, columns, channels).
        gradients: The gradients of each score with respect to the feature maps, (scores, rows, columns, channels).

    Returns:
        The positive part of the channels' sum, weighted by their mean gradients: (scores, rows, columns).
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
    """SmoothGrad (Smilkov et al., 2017): the gradient with respect to the pixels, averaged over noisy copies of the photo.

    Args:
        gradients: From pixels (n, height, width, 3) to the gradients of each score, summed over the n photos: (scores,
            height, width, 3).
        photo: The photo.
        samples: The number of noisy copies.
        noise: The standard deviation of the noise, as a share of the photo's range of values.
        batch_size: Photos per call of `gradients`.
        seed: Seed of the noise.

    Returns:
        The channels' absolute mean gradients, summed: (scores, height, width).
    """
    rng, total = np.random.default_rng(seed), 0
    deviation = noise * float(photo.max() - photo.min())
    for start in range(0, samples, batch_size):
        count = min(batch_size, samples - start)
        total = total + gradients(photo + rng.normal(0, deviation, (count, *photo.shape)).astype("float32"))
    return np.abs(total / samples).sum(axis=-1)


def occlusion(
    scores: Callable[[np.ndarray], np.ndarray],
    photo: np.ndarray,
    patch: int,
    stride: int,
    fill: np.ndarray,
    batch_size: int = 32,
) -> np.ndarray:
    """Occlusion (Zeiler and Fergus, 2014): how much each score falls when a square of the photo is hidden.

    Args:
        scores: From pixels (n, height, width, 3) to scores (n, scores).
        photo: The photo.
        patch: Side of the square, in pixels.
        stride: Distance between neighbouring squares, in pixels.
        fill: What replaces the hidden pixels: one colour (3,), or an array like the photo.
        batch_size: Photos per call of `scores`.

    Returns:
        The mean fall over the squares that cover a pixel: (scores, height, width). It is negative where hiding raises the
        score, and 0 where no square covers the pixel.
    """
    height, width, _ = photo.shape
    corners = [
        (row, column) for row in patch_starts(height, patch, stride) for column in patch_starts(width, patch, stride)
    ]
    hidden = (_covered(photo, fill, row, column, patch) for row, column in corners)
    falls = scores(photo[None])[0] - score_in_batches(scores, hidden, batch_size)
    total, count = np.zeros((falls.shape[1], height, width), "float32"), np.zeros((height, width), "float32")
    for (row, column), fall in zip(corners, falls, strict=True):
        square = slice(row, row + patch), slice(column, column + patch)
        total[(slice(None), *square)] += fall[:, None, None]
        count[square] += 1
    return total / np.maximum(count, 1)


def patch_starts(length: int, patch: int, stride: int) -> list[int]:
    """Returns where squares of side `patch` start along `length` pixels; the last one ends at the photo's edge."""
    last = max(length - patch, 0)
    return sorted({*range(0, last, stride), last})


def score_in_batches(
    scores: Callable[[np.ndarray], np.ndarray], photos: Iterable[np.ndarray], batch_size: int
) -> np.ndarray:
    """Returns the scores of many photos, (photos, scores), with at most one batch of photos in memory."""
    remaining, batches = iter(photos), []
    while batch := list(islice(remaining, batch_size)):
        batches.append(np.asarray(scores(np.stack(batch))))
    return np.concatenate(batches)


def resize_maps(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns maps (n, rows, columns) resized bilinearly to (height, width)."""
    if maps.shape[1:] == size:
        return maps
    return np.stack(
        [Image.fromarray(values.astype("float32")).resize(size[::-1], Image.Resampling.BILINEAR) for values in maps]
    )


def _covered(photo: np.ndarray, fill: np.ndarray, row: int, column: int, patch: int) -> np.ndarray:
    square, covered = (slice(row, row + patch), slice(column, column + patch)), photo.copy()
    covered[square] = np.broadcast_to(fill, photo.shape)[square]
    return covered
