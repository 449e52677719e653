"""The bootstrap as a map and a reduce: every photo is drawn Poisson(1) times for each sample, and the counts are summed.

Poisson weights stand for drawing with replacement where nobody knows the number of rows (Chamandy et al., 2012,
"Estimating uncertainty for massive data streams"). They depend on the seed and the photo's name alone, so systems that
are compared are compared on the same photos, however the rows are spread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pandas as pd


def weights(image_id: str, samples: int, seed: int) -> np.ndarray:
    """How often a photo is in each sample, int64 (samples + 1,); sample 0 is the photos as they are, once each."""
    name = int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8], "big")
    return np.concatenate([[1], np.random.default_rng([seed, name]).poisson(1.0, samples)])


def weighted_sums(samples: int, seed: int, batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The map step: sums the rows' `counts` (arrays of one length) into one row a sample, `sample` and `sums`."""
    total = None
    for rows in batches:
        if rows.empty:
            continue
        drawn = np.stack([weights(image_id, samples, seed) for image_id in rows.image_id])
        sums = drawn.T @ np.stack(rows.counts).astype("int64")
        total = sums if total is None else total + sums
    if total is not None:
        yield pd.DataFrame({"sample": np.arange(samples + 1), "sums": list(total)})


def weighted_sums_by_system(samples: int, seed: int, batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The same for rows of several systems, which their column `system` tells apart."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for rows in batches:
        for system, own in rows.groupby("system"):
            parts.setdefault(system, []).extend(weighted_sums(samples, seed, iter([own])))
    for system, found in parts.items():
        sums = np.sum([np.stack(part.sums) for part in found], axis=0)
        yield pd.DataFrame({"system": system, "sample": np.arange(samples + 1), "sums": list(sums)})


def interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """The range that holds the share `confidence` of the samples' values, as much left out below it as above."""
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
