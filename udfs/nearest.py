"""The nearest of many photos by the cosine of their features, found in blocks whose size bounds the memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from udfs.features import feature_rows, unit_rows

SCHEMA = "image_id string, neighbour string, cosine float"
# Digits in which cosines are compared: copies of a photo differ in the last bits, and their names shall decide.
DIGITS = 5


def nearest_photos(wanted, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Maps rows (image_id, feature) of candidates to SCHEMA: the nearest of these for each wanted photo, never itself.

    wanted: a Spark broadcast of (names, unit_rows of their features). Of equals the last name is taken.
    """
    names, features = wanted.value
    place = {name: row for row, name in enumerate(names)}
    best, neighbours = np.full(len(names), -np.inf, "float32"), np.full(len(names), "", object)
    for batch in batches:
        if not batch.num_rows:
            continue
        candidates = np.array(batch.column("image_id").to_pylist(), object)
        descending = np.argsort(candidates)[::-1]
        candidates, theirs = candidates[descending], unit_rows(feature_rows(batch.column("feature")))[descending]
        cosines = np.round(features @ theirs.T, DIGITS)
        for column, name in enumerate(candidates):
            if name in place:
                cosines[place[name], column] = -np.inf
        chosen = cosines.argmax(axis=1)  # the first of equals, so the last name
        found, who = cosines[np.arange(len(names)), chosen], candidates[chosen]
        better = (found > best) | ((found == best) & (who > neighbours))
        best, neighbours = np.where(better, found, best), np.where(better, who, neighbours)
    kept = best > -np.inf
    columns = [pa.array([name for name, keep in zip(names, kept, strict=True) if keep], pa.string()),
               pa.array(neighbours[kept].tolist(), pa.string()), pa.array(best[kept])]  # fmt: skip
    yield pa.RecordBatch.from_arrays(columns, names=["image_id", "neighbour", "cosine"])
