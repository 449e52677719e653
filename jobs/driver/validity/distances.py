"""How far photos are from the training photos in the space of their features, against training photos held out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.scoring.nearest import nearest_photos
from udfs.scoring.populations import frechet_against_control
from udfs.vision.features import feature_rows

HELD_OUT, REST = "held out", "rest"  # parts of the training photos
FRECHET_ROWS = 1000  # photos of a side in one Fréchet distance; its cost grows with the cube
FRECHET_BYTES = 256 * 2**20  # of features from which those photos are drawn
DRAWS = 10
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Distances:
    """photos: image_id, distance to the nearest training photo, and that one (`neighbour`); summary: for the report."""

    photos: pd.DataFrame
    summary: dict


def measure_distances(training: DataFrame, other: DataFrame, seed: int) -> Distances:
    """Compares two tables of image_id and feature, the second with the first and the first with itself."""
    counts = {"training": training.count(), "other": other.count()}
    width = other.select(F.size("feature").alias("n")).first().n
    held_out = _some(training, min(counts["other"], counts["training"] // 2), seed).withColumn("part", F.lit(HELD_OUT))
    marked = training.join(F.broadcast(held_out), "image_id", "left").fillna(REST, "part")
    rest = marked.where(F.col("part") == REST)
    found = nearest_photos(other, marked)
    control = nearest_photos(marked.where(F.col("part") == HELD_OUT).drop("part"), rest)
    # Both sides look for neighbours among the training photos that were not held out, so that neither has more to choose from.
    own = found.loc[found.part == REST, "distance"].to_numpy(float)
    control = control["distance"].to_numpy(float)
    photos = found.sort_values(["distance", "neighbour"]).drop_duplicates("query").rename(columns={"query": "image_id"})
    summary = {"neighbours": _neighbours(own, control), "frechet": _frechet(training, other, counts, width, seed)}
    return Distances(photos[["image_id", "distance", "neighbour"]].reset_index(drop=True), summary)


def _some(rows: DataFrame, count: int, seed: int) -> DataFrame:
    """image_id of `count` rows in the order of a hash."""
    order = F.xxhash64(F.lit(seed), "image_id")
    return rows.select("image_id").orderBy(order, "image_id").limit(count)


def _neighbours(own: np.ndarray, control: np.ndarray) -> dict:
    far = float(np.quantile(control, 0.95)) if len(control) else math.nan
    return {
        "measure": "cosine distance to the nearest training photo",
        "evaluation": {str(q): round(float(np.quantile(own, q)), 5) for q in QUANTILES},
        "control": {str(q): round(float(np.quantile(control, q)), 5) for q in QUANTILES} if len(control) else {},
        "control_photos": len(control),
        "share_farther_than_95_percent_of_control": round(float((own > far).mean()), 4) if len(control) else None,
    }


def _frechet(training: DataFrame, other: DataFrame, counts: dict, width: int, seed: int) -> dict | None:
    most = max(4, FRECHET_BYTES // (4 * width))
    rows = min(FRECHET_ROWS, most // 2)
    sizes = {"training": min(counts["training"], most), "other": min(counts["other"], rows)}
    if sizes["training"] < 4 or sizes["other"] < 2:
        return None
    train, own = (
        feature_rows(
            side.join(F.broadcast(_some(side, size, seed + 1)), "image_id").orderBy("image_id").toArrow()["feature"]
        )
        for side, size in ((training, sizes["training"]), (other, sizes["other"]))
    )
    size, found, control = frechet_against_control(train, own, DRAWS, seed)
    return {
        "photos_a_side": size,
        "draws": DRAWS,
        "evaluation": {"mean": float(found.mean()), "low": float(found.min()), "high": float(found.max())},
        "control": {"mean": float(control.mean()), "low": float(control.min()), "high": float(control.max())},
    }
