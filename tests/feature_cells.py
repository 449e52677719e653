"""Columns of features as the tables hold them, for tests."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from udfs.vision.features import STORED


def cells(features) -> pa.Array:
    """The column `feature` of features, (rows, ...)."""
    return pa.array([row.tobytes() for row in np.asarray(features).astype(STORED)], pa.binary())


def shapes(features) -> pa.Array:
    """The column `feature_shape`."""
    features = np.asarray(features)
    return pa.array([list(features.shape[1:])] * len(features), pa.list_(pa.int32()))


def feature_of(row) -> np.ndarray:
    """The feature in a Spark row, float32 (*feature_shape)."""
    return np.frombuffer(row.feature, STORED).astype("float32").reshape(row.feature_shape)
