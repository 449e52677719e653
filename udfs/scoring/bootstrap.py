"""The bootstrap as a map and a reduce step: each sample draws every photo Poisson(1) times, and the counts are summed.

Poisson weights replace drawing with replacement if the number of rows is unknown (Chamandy et al., 2012, "Estimating
uncertainty for massive data streams"). They depend only on the seed and the photo's name. So systems are compared on the same
photos, and the distribution of the rows over tasks has no effect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pandas as pd


def poisson_weights(image_id: str, samples: int, seed: int) -> np.ndarray:
    """Returns how often each sample contains a photo: int64 (samples + 1,). Sample 0 contains every photo once."""
    name = int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8], "big")
    return np.concatenate([[1], np.random.default_rng([seed, name]).poisson(1.0, samples)])


def weighted_sums(samples: int, seed: int, batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Sums the counts of the photos in each sample (the map step).

    Args:
        samples: The number of bootstrap samples.
        seed: Seed of the weights.
        batches: Rows (image_id, counts), where `counts` are arrays of the same length.

    Yields:
        If there are rows: one row (sample, sums) per sample, from 0, the photos themselves, to `samples`.
    """
    total = None
    for rows in batches:
        if rows.empty:
            continue
        weights = np.stack([poisson_weights(image_id, samples, seed) for image_id in rows.image_id])
        sums = weights.T @ np.stack(rows.counts).astype("int64")
        total = sums if total is None else total + sums
    if total is not None:
        yield pd.DataFrame({"sample": np.arange(samples + 1), "sums": list(total)})


def weighted_sums_by_system(samples: int, seed: int, batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Does the same as `weighted_sums` for each value of the column `system`; yields rows (system, sample, sums)."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for rows in batches:
        for system, rows_of_system in rows.groupby("system"):
            parts.setdefault(system, []).extend(weighted_sums(samples, seed, iter([rows_of_system])))
    for system, frames in parts.items():
        sums = np.sum([np.stack(frame.sums) for frame in frames], axis=0)
        yield pd.DataFrame({"system": system, "sample": np.arange(samples + 1), "sums": list(sums)})


def interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """Returns the percentile interval (low, high) that contains the share `confidence` of the samples' values."""
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
