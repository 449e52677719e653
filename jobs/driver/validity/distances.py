"""How far evaluated photos are from the training photos in feature space, compared with held-out training photos."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.scoring.nearest import BATCH, channels, nearest_photos, pooled
from jobs.driver.spark.session import arrow_batches
from udfs.scoring.populations import frechet_against_control
from udfs.vision.features import pooled_rows

HELD_OUT, REST = "held out", "rest"  # parts of the training photos
FRECHET_ROWS = 1000  # evaluated photos in one Fréchet distance, whose cost grows with the cube of that
FRECHET_BYTES = 256 * 2**20  # training features from which the samples are drawn
DRAWS = 10
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Distances:
    """Distances of evaluated photos from the training photos.

    Attributes:
        photos: image_id, distance (cosine) and neighbour, the nearest training photo.
        summary: Quantiles of the distances and the Fréchet distance, with those of the control, as JSON values.
    """

    photos: pd.DataFrame
    summary: dict


def measure_distances(training: DataFrame, evaluated: DataFrame, seed: int) -> Distances:
    """Compares evaluated photos with the training photos, and held-out training photos with the rest (the control).

    Args:
        training: image_id, feature and feature_shape of the training photos. A map counts as its average over positions.
        evaluated: The same of the evaluated photos.
        seed: Decides which training photos are held out, and the samples of the Fréchet distance.
    """
    counts = {"training": training.count(), "evaluated": evaluated.count()}
    width = evaluated.select(channels().alias("n")).first().n
    held_out = _sample(training, min(counts["evaluated"], counts["training"] // 2), seed)
    marked = training.join(F.broadcast(held_out.withColumn("part", F.lit(HELD_OUT))), "image_id", "left")
    marked = marked.fillna(REST, "part")
    nearest = nearest_photos(evaluated, marked)
    control = nearest_photos(marked.where(F.col("part") == HELD_OUT).drop("part"), marked.where(F.col("part") == REST))
    # Both sides search the same training photos, those not held out: more candidates would mean smaller distances.
    evaluated_distances = nearest.loc[nearest.part == REST, "distance"].to_numpy(float)
    photos = nearest.sort_values(["distance", "neighbour"]).drop_duplicates("query")
    photos = photos.rename(columns={"query": "image_id"})[["image_id", "distance", "neighbour"]]
    summary = {
        "neighbours": _quantiles(evaluated_distances, control["distance"].to_numpy(float)),
        "frechet": _frechet(training, evaluated, counts, width, seed),
    }
    return Distances(photos.reset_index(drop=True), summary)


def _sample(rows: DataFrame, count: int, seed: int) -> DataFrame:
    """image_id of `count` rows, chosen by a hash."""
    order = F.xxhash64(F.lit(seed), "image_id")
    return rows.select("image_id").orderBy(order, "image_id").limit(count)


def _quantiles(evaluated: np.ndarray, control: np.ndarray) -> dict:
    far = float(np.quantile(control, 0.95)) if len(control) else math.nan
    return {
        "measure": "cosine distance to the nearest training photo",
        "evaluation": {str(q): round(float(np.quantile(evaluated, q)), 5) for q in QUANTILES},
        "control": {str(q): round(float(np.quantile(control, q)), 5) for q in QUANTILES} if len(control) else {},
        "control_photos": len(control),
        "share_farther_than_95_percent_of_control": round(float((evaluated > far).mean()), 4) if len(control) else None,
    }


def _frechet(training: DataFrame, evaluated: DataFrame, counts: dict, width: int, seed: int) -> dict | None:
    """The Fréchet distance and its control; None if there are too few photos."""
    most = max(4, FRECHET_BYTES // (4 * width))
    rows = min(FRECHET_ROWS, most // 2)
    sizes = {"training": min(counts["training"], most), "evaluated": min(counts["evaluated"], rows)}
    if sizes["training"] < 4 or sizes["evaluated"] < 2:
        return None
    with arrow_batches(training.sparkSession, BATCH):
        training_features, evaluated_features = (
            pooled_rows(
                pooled(side.join(F.broadcast(_sample(side, size, seed + 1)), "image_id").orderBy("image_id")).toArrow()
            )
            for side, size in ((training, sizes["training"]), (evaluated, sizes["evaluated"]))
        )
    size, distances, control = frechet_against_control(training_features, evaluated_features, DRAWS, seed)
    return {
        "photos_a_side": size,
        "draws": DRAWS,
        "evaluation": _range(distances),
        "control": _range(control),
    }


def _range(values: np.ndarray) -> dict[str, float]:
    return {"mean": float(values.mean()), "low": float(values.min()), "high": float(values.max())}
