"""BLEU of groups of photos with bootstrap intervals: one call per group, as Spark's `applyInPandas` makes it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from udfs.scoring.bleu import BleuCounts, bleu_scores
from udfs.scoring.bootstrap import interval, weighted_sums

BLOCK = 1000  # photos whose weights are in memory at a time
SCHEMA = "kind string, name string, photos int, bleu1 double, bleu4 double, low double, high double"


def score_group(samples: int, seed: int, confidence: float, key: tuple[str, str], rows: pd.DataFrame) -> pd.DataFrame:
    """Scores the captions of a group.

    Args:
        samples: The number of bootstrap samples.
        seed: Seed of the bootstrap.
        confidence: The share of samples in the interval.
        key: The group (kind, name).
        rows: Its photos (image_id, counts); `counts` is a row of `BleuCounts`.

    Returns:
        One row of SCHEMA; `low` and `high` are the interval of BLEU-4.
    """
    blocks = (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
    (sums,) = weighted_sums(samples, seed, blocks)
    scores = [bleu_scores(BleuCounts.from_row(row)) for row in sums["sums"]]
    low, high = interval(np.array([score["bleu4"] for score in scores[1:]]), confidence)
    values = [*key, len(rows), scores[0]["bleu1"], scores[0]["bleu4"], low, high]
    return pd.DataFrame([values], columns=["kind", "name", "photos", "bleu1", "bleu4", "low", "high"])
