"""Mean and standard deviation of the training photos' features, in one pass over the examples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from udfs.captioner.normalisation import FeatureSums, Normalisation, normalisation_of
from udfs.vision.features import feature_rows

SCHEMA = "shard int, part int, count bigint, total binary, squares binary"


def training_normalisation(examples: DataFrame, kind: str, feature_shape: tuple[int, ...]) -> Normalisation | None:
    """The normalisation that `model.normalise` asks for. It is the same in every bit however Spark divides the work.

    Args:
        examples: A version of the table `examples`.
        kind: none, centred or standardised.
        feature_shape: Shape of a photo's feature.
    """
    if kind == "none":
        return None

    def sums(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _sums_by_file(feature_shape, batches)

    rows = examples.where("split = 'train'").select("shard", "part", "feature").mapInArrow(sums, SCHEMA).collect()
    parts = [
        FeatureSums(row["count"], np.frombuffer(row.total), np.frombuffer(row.squares))
        for row in sorted(rows, key=lambda row: (row.shard, row.part))
    ]
    return normalisation_of(parts, kind)


def _sums_by_file(shape: tuple[int, ...], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row for each file. A file is one row group, so a task reads all of its rows, in order."""
    found: dict[tuple[int, int], FeatureSums] = {}
    for batch in batches:
        if not batch.num_rows:
            continue
        features = feature_rows(batch.column("feature")).reshape(-1, *shape)
        files = np.stack([batch.column("shard").to_numpy(), batch.column("part").to_numpy()], axis=1)
        for shard, part in np.unique(files, axis=0):
            rows = features[(files == (shard, part)).all(axis=1)]
            key = (int(shard), int(part))
            found[key] = FeatureSums.of(rows, found.get(key))
    columns = [
        pa.array([key[0] for key in found], pa.int32()),
        pa.array([key[1] for key in found], pa.int32()),
        pa.array([sums.count for sums in found.values()], pa.int64()),
        pa.array([sums.total.tobytes() for sums in found.values()], pa.binary()),
        pa.array([sums.squares.tobytes() for sums in found.values()], pa.binary()),
    ]
    yield pa.RecordBatch.from_arrays(columns, names=["shard", "part", "count", "total", "squares"])
