"""Finds the nearest photo of each query by the cosine distance of their features, as a map step over the candidates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from udfs.vision.features import pooled_rows, unit_rows

SCHEMA = "query string, part string, distance double, neighbour string"
# Features of copies of a photo differ in the last bits. Rounded distances are equal, and the first name wins.
DIGITS = 5


def nearest_in_batches(queries, others_only: bool, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Finds the nearest candidate of each query, separately in each part of the candidates.

    Args:
        queries: A Spark broadcast of (names, their features as unit rows: float32 (queries, feature size)).
        others_only: Whether a candidate with the query's own name is ignored.
        batches: Candidates: rows (image_id, feature, feature_shape, part). A map counts as its average over positions.

    Yields:
        Rows of SCHEMA, at most one per query and part. The distance is 1 - cosine, from 0 to 2, rounded to DIGITS digits.
    """
    names, features = queries.value
    row_of_name = {name: row for row, name in enumerate(names)} if others_only else {}
    best: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for batch in batches:
        candidates = batch.column("image_id").to_numpy(zero_copy_only=False)
        parts = batch.column("part").to_numpy(zero_copy_only=False)
        if not len(candidates):
            continue
        distances = np.round(np.maximum(1 - features @ unit_rows(pooled_rows(batch)).T, 0), DIGITS)
        for column, name in enumerate(candidates):
            if name in row_of_name:
                distances[row_of_name[name], column] = np.inf
        for part in set(parts):
            nothing = np.full(len(names), np.inf), np.full(len(names), "", object)
            columns = np.flatnonzero(parts == part)
            best[part] = _nearest(best.get(part, nothing), distances[:, columns], candidates[columns])
    for part, (distance, neighbour) in best.items():
        yield _result(names, part, distance, neighbour)


def _nearest(
    best: tuple[np.ndarray, np.ndarray], distances: np.ndarray, candidates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The least distance of each query and its candidate, from the best so far and from new distances.

    distances: (queries, candidates). Of equal distances, the first name wins.
    """
    order = np.argsort(candidates)
    columns = order[distances[:, order].argmin(axis=1)]
    new_distance, new_name = distances[np.arange(len(distances)), columns], candidates[columns]
    distance, name = best
    closer = (new_distance < distance) | ((new_distance == distance) & (new_name < name))
    return np.where(closer, new_distance, distance), np.where(closer, new_name, name)


def _result(names: list[str], part: str, distance: np.ndarray, neighbour: np.ndarray) -> pa.RecordBatch:
    rows = np.flatnonzero(np.isfinite(distance))
    columns = [
        pa.array([names[row] for row in rows], pa.string()),
        pa.array([part] * len(rows), pa.string()),
        pa.array(distance[rows], pa.float64()),
        pa.array(neighbour[rows].tolist(), pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, names=["query", "part", "distance", "neighbour"])
