"""Measures whether a saliency map shows what the model depends on: deletion and insertion curves, and rank correlations.

The curves are those of RISE (Petsiuk, Das and Saenko, 2018), in cells instead of single pixels, so that maps of every
resolution are compared fairly. They are compared with those of random maps, which are as coarse as the last feature maps of
common networks. Random single cells would break up the whole photo at once and win every deletion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from udfs.explain.saliency import resize_maps, score_in_batches

CELLS = 14  # cells along a side: 16 of 224 pixels
COARSE = 7  # cells along a side of a random map, before it is resized


def cell_order(saliency: np.ndarray) -> np.ndarray:
    """Returns the numbers of the cells, the most salient first, from a map (height, width)."""
    cells = cell_numbers(saliency.shape)
    total = np.bincount(cells.ravel(), saliency.ravel(), CELLS * CELLS)
    return np.argsort(-total / np.bincount(cells.ravel(), minlength=CELLS * CELLS), kind="stable")


def random_orders(count: int, seed: int) -> list[np.ndarray]:
    """Returns the orders of cells of `count` random maps."""
    maps = np.random.default_rng(seed).random((count, COARSE, COARSE))
    return [cell_order(values) for values in resize_maps(maps, (CELLS, CELLS))]


def cell_numbers(size: tuple[int, int]) -> np.ndarray:
    """Returns the number of the cell of each pixel, (height, width), for a photo of that size."""
    rows, columns = ((np.arange(length) * CELLS) // length for length in size)
    return rows[:, None] * CELLS + columns


def deletion_and_insertion(
    probabilities: Callable[[np.ndarray], np.ndarray],
    photo: np.ndarray,
    orders: list[np.ndarray],
    steps: int,
    batch_size: int = 32,
) -> dict[str, np.ndarray]:
    """Computes the scores while a photo's cells are hidden (deletion) or uncovered (insertion) in given orders.

    Deletion replaces cells by the photo's mean colour. Insertion restores them on a blurred copy of the photo.

    Args:
        probabilities: From pixels (n, height, width, 3) to scores (n, scores).
        photo: float32 (height, width, 3).
        orders: The cells in the order of their change, each an array (CELLS * CELLS,).
        steps: The number of steps of a curve.
        batch_size: Photos per call of `probabilities`.

    Returns:
        {"deletion" or "insertion": curves (orders, steps + 1, scores)}. At point k, the share k / steps of the cells has
        changed.
    """
    grey = np.broadcast_to(mean_colour(photo), photo.shape)
    curves = {}
    for name, (start, end) in {"deletion": (photo, grey), "insertion": (_blurred(photo), photo)}.items():
        ends = score_in_batches(probabilities, [start, end], batch_size)
        inner = ends[:0]
        if steps > 1:
            inner = score_in_batches(probabilities, _mixtures(start, end, orders, steps), batch_size)
        inner = inner.reshape(len(orders), steps - 1, -1)
        first, last = (np.broadcast_to(scores, (len(orders), 1, ends.shape[1])) for scores in ends)
        curves[name] = np.concatenate([first, inner, last], axis=1)
    return curves


def area_under_curve(curves: np.ndarray) -> np.ndarray:
    """Returns the areas under curves along axis 1, whose points are equally spaced from 0 to 1 (trapezoidal rule)."""
    # np.trapz is deprecated in NumPy 2 and later removed; NumPy 1 has no np.trapezoid.
    return (1 / (curves.shape[1] - 1) * (curves[:, 1:] + curves[:, :-1]) / 2).sum(axis=1)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Returns Spearman's rank correlation of two maps of equal shape; 0 if one of them is constant."""
    ranks = [pd.Series(values.ravel()).rank().to_numpy() for values in (first, second)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def mean_colour(photo: np.ndarray) -> np.ndarray:
    """Returns the photo's mean colour, (3,). Filled with it, a part is hidden with as little of a new edge as possible."""
    return photo.mean(axis=(0, 1))


def _blurred(photo: np.ndarray) -> np.ndarray:
    """A copy without details: a Gaussian blur with a radius of a twentieth of the width."""
    picture = Image.fromarray(photo.clip(0, 255).astype("uint8"))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(photo.shape[1] / 20)), "float32")


def _mixtures(start: np.ndarray, end: np.ndarray, orders: list[np.ndarray], steps: int) -> Iterator[np.ndarray]:
    """The photos between `start` and `end`, of each order in turn."""
    cells = cell_numbers(start.shape[:2])
    for order in orders:
        rank = np.empty(CELLS * CELLS, int)
        rank[order] = np.arange(CELLS * CELLS)
        for step in range(1, steps):
            changed = rank[cells] < round(step / steps * CELLS * CELLS)
            yield np.where(changed[..., None], end, start)
