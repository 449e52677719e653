"""The nearest photo of each of many by the cosine distance of their features: the map step of jobs/driver/nearest.py."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from udfs.vision.features import feature_rows, unit_rows

SCHEMA = "query string, part string, distance double, neighbour string"
# Copies of a photo differ in the last bits: so rounded they are equals, of which the first name is taken.
DIGITS = 5


def nearest_in_batches(queries, others_only: bool, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Maps candidates (image_id, feature, part) to SCHEMA: each query's nearest one in each part of them.

    queries: a Spark broadcast of (names, their unit rows, float32 (queries, feature size)). With `others_only` a candidate of
    the query's own name does not count. Distances are 1 - cosine, from 0 to 2, in DIGITS digits.
    """
    names, features = queries.value
    place = {name: row for row, name in enumerate(names)} if others_only else {}
    best: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for batch in batches:
        candidates = batch.column("image_id").to_numpy(zero_copy_only=False)
        parts = batch.column("part").to_numpy(zero_copy_only=False)
        if not len(candidates):
            continue
        distances = np.round(np.maximum(1 - features @ unit_rows(feature_rows(batch.column("feature"))).T, 0), DIGITS)
        for column, name in enumerate(candidates):
            if name in place:
                distances[place[name], column] = np.inf
        for part in set(parts):
            nothing = np.full(len(names), np.inf), np.full(len(names), "", object)
            best[part] = nearer(best.get(part, nothing), distances, candidates, np.flatnonzero(parts == part))
    for part, (distance, neighbour) in best.items():
        found = np.flatnonzero(np.isfinite(distance))
        columns = [
            pa.array([names[row] for row in found], pa.string()),
            pa.array([part] * len(found), pa.string()),
            pa.array(distance[found], pa.float64()),
            pa.array(neighbour[found].tolist(), pa.string()),
        ]
        yield pa.RecordBatch.from_arrays(columns, names=["query", "part", "distance", "neighbour"])


def nearer(
    best: tuple, distances: np.ndarray, candidates: np.ndarray, these: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The least distances and their candidates, of the best so far and of `these` columns; of equals the first name."""
    these = these[np.argsort(candidates[these])]
    chosen = these[distances[:, these].argmin(axis=1)]
    found, who = distances[np.arange(len(distances)), chosen], candidates[chosen]
    least, neighbour = best
    closer = (found < least) | ((found == least) & (who < neighbour))
    return np.where(closer, found, least), np.where(closer, who, neighbour)
