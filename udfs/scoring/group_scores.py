"""BLEU of groups of photos, each with its bootstrap interval; one call a group, wherever Spark has put its rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from udfs.scoring.bleu import BleuCounts, bleu_scores
from udfs.scoring.bootstrap import interval, weighted_sums

BLOCK = 1000  # photos whose weights are held at a time
SCHEMA = "kind string, name string, photos int, bleu1 double, bleu4 double, low double, high double"


def score_group(samples: int, seed: int, confidence: float, key: tuple, rows: pd.DataFrame) -> pd.DataFrame:
    """One row of SCHEMA for the rows (image_id, counts) of the group `key` (kind, name); low and high are of BLEU-4.

    counts: matches and totals of n = 1..4, then the lengths of both sides.
    """
    blocks = (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
    (found,) = weighted_sums(samples, seed, blocks)
    scores = [bleu_scores(BleuCounts.from_row(sums)) for sums in found["sums"]]
    low, high = interval(np.array([score["bleu4"] for score in scores[1:]]), confidence)
    values = [*key, len(rows), scores[0]["bleu1"], scores[0]["bleu4"], low, high]
    return pd.DataFrame([values], columns=["kind", "name", "photos", "bleu1", "bleu4", "low", "high"])
