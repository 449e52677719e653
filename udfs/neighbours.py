"""The nearest training photo of each photo by the cosine distance of their features, as a map and a reduce.

The map step compares a block of queries, which every executor holds, with one batch of training photos after the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from udfs.features import feature_rows, unit_rows

SCHEMA = "query int, held_out boolean, distance double, neighbour string"


def nearest_in_batches(queries, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Maps rows (image_id, feature, held_out) to SCHEMA: each query's nearest photo among those held out, and the others.

    queries: a Spark broadcast of unit rows, float32 (queries, feature size). Distances are 1 - cosine, from 0 to 2.
    """
    queries = queries.value
    best = {kind: (np.full(len(queries), np.inf), np.full(len(queries), "", object)) for kind in (False, True)}
    for batch in batches:
        if not batch.num_rows:
            continue
        names, held_out = (batch.column(name).to_numpy(zero_copy_only=False) for name in ("image_id", "held_out"))
        distances = 1 - queries @ unit_rows(feature_rows(batch.column("feature"))).T
        for kind, (least, neighbour) in best.items():
            these = np.flatnonzero(held_out == kind)
            if len(these):
                place = distances[:, these].argmin(axis=1)
                found = distances[np.arange(len(queries)), these[place]]
                closer = found < least
                least[closer], neighbour[closer] = found[closer], names[these[place[closer]]]
    for kind, (least, neighbour) in best.items():
        seen = np.flatnonzero(np.isfinite(least))
        yield pa.RecordBatch.from_arrays(
            [
                pa.array(seen, pa.int32()),
                pa.array(np.full(len(seen), kind)),
                pa.array(np.maximum(least[seen], 0.0)),
                pa.array(neighbour[seen], pa.string()),
            ],
            names=["query", "held_out", "distance", "neighbour"],
        )
