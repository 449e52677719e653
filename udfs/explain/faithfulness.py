"""Whether a saliency map says what the model does: insertion and deletion curves, and rank correlations.

The curves are those of RISE (Petsiuk, Das and Saenko, 2018), in cells instead of single pixels, so that maps of every
resolution are judged alike. Their rivals are random maps as coarse as the networks' last maps: single cells at random would
tear up the whole photo at once, and so win every deletion, which says nothing about places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from udfs.explain.saliency import enlarge, in_batches

CELLS = 14  # cells along a side: 16 of 224 pixels
COARSE = 7  # cells along a side of a random map, before it is stretched


def cell_order(saliency: np.ndarray) -> np.ndarray:
    """The numbers of the cells, the most salient first. saliency: (height, width)."""
    cells = cell_numbers(saliency.shape)
    total = np.bincount(cells.ravel(), saliency.ravel(), CELLS * CELLS)
    return np.argsort(-total / np.bincount(cells.ravel(), minlength=CELLS * CELLS), kind="stable")


def random_orders(count: int, seed: int) -> list[np.ndarray]:
    """The orders of random maps."""
    maps = np.random.default_rng(seed).random((count, COARSE, COARSE))
    return [cell_order(each) for each in enlarge(maps, (CELLS, CELLS))]


def cell_numbers(size: tuple[int, int]) -> np.ndarray:
    """The number of each pixel's cell, (height, width)."""
    rows, columns = ((np.arange(length) * CELLS) // length for length in size)
    return rows[:, None] * CELLS + columns


def curves(
    probabilities: Callable[[np.ndarray], np.ndarray],
    photo: np.ndarray,
    orders: list[np.ndarray],
    steps: int,
    batch_size: int = 32,
) -> dict[str, np.ndarray]:
    """Deletion and insertion curves: {name: (orders, steps + 1, scores)}.

    Deletion hides the photo's cells under its mean colour in each order, insertion uncovers them on a blurred copy; point k
    has k / steps of the cells changed. probabilities: of pixels (n, height, width, 3) to (n, scores).
    """
    grey, soft = mean_colour(photo), blurred(photo)
    from_to = {"deletion": (photo, np.broadcast_to(grey, photo.shape)), "insertion": (soft, photo)}
    found = {}
    for name, (start, end) in from_to.items():
        ends = in_batches(probabilities, [start, end], batch_size)
        inner = in_batches(probabilities, _mixtures(start, end, orders, steps), batch_size) if steps > 1 else ends[:0]
        inner = inner.reshape(len(orders), steps - 1, -1)
        first, last = (np.broadcast_to(each, (len(orders), 1, ends.shape[1])) for each in ends)
        found[name] = np.concatenate([first, inner, last], axis=1)
    return found


def area(curve: np.ndarray) -> np.ndarray:
    """Area under curves along axis 1, over a course from 0 to 1 (trapezoidal rule)."""
    return np.trapz(curve, dx=1 / (curve.shape[1] - 1), axis=1)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of two maps; 0 where one of them is flat and says nothing."""
    ranks = [pd.Series(each.ravel()).rank().to_numpy() for each in (one, other)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def mean_colour(photo: np.ndarray) -> np.ndarray:
    """What hides a part of a photo without adding an edge more than needed, (3,)."""
    return photo.mean(axis=(0, 1))


def blurred(photo: np.ndarray) -> np.ndarray:
    """A copy in which only large shapes are left: a Gaussian of a twentieth of the width."""
    picture = Image.fromarray(photo.clip(0, 255).astype("uint8"))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(photo.shape[1] / 20)), "float32")


def _mixtures(start: np.ndarray, end: np.ndarray, orders: list[np.ndarray], steps: int) -> Iterator[np.ndarray]:
    cells = cell_numbers(start.shape[:2])
    for order in orders:
        place = np.empty(CELLS * CELLS, int)
        place[order] = np.arange(CELLS * CELLS)
        for step in range(1, steps):
            changed = place[cells] < round(step / steps * CELLS * CELLS)
            yield np.where(changed[..., None], end, start)
