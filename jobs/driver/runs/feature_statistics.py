"""Mean and standard deviation of the training photos' features, in one pass over the examples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.driver.spark.session import arrow_batches
from udfs.captioner.normalisation import FeatureSums, Normalisation, normalisation_of
from udfs.vision.features import FEATURE, SHAPE, feature_rows

BATCH = 256  # photos; a map takes 125 KB
SCHEMA = "shard int, part int, count bigint, total binary, squares binary"


def training_normalisation(examples: DataFrame, kind: str) -> Normalisation | None:
    """The normalisation that `model.normalise` asks for. It is the same in every bit however Spark divides the work.

    Args:
        examples: A version of the table `examples`.
        kind: none, centred or standardised.
    """
    if kind == "none":
        return None

    columns = examples.where("split = 'train'").select("shard", "part", FEATURE, SHAPE)
    with arrow_batches(examples.sparkSession, BATCH):
        rows = columns.mapInArrow(_sums_by_file, SCHEMA).collect()
    parts = [
        FeatureSums(row["count"], np.frombuffer(row.total), np.frombuffer(row.squares))
        for row in sorted(rows, key=lambda row: (row.shard, row.part))
    ]
    return normalisation_of(parts, kind)


def _sums_by_file(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row for each file. A file is one row group, so a task reads all of its rows, in order."""
    found: dict[tuple[int, int], FeatureSums] = {}
    for batch in batches:
        if not batch.num_rows:
            continue
        features = feature_rows(batch)
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
