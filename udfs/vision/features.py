"""Columns of features as matrices."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def feature_rows(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """An Arrow column of equally long lists as a matrix (rows, feature size)."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, float32; a row of zeros stays."""
    features = np.asarray(features, "float32")
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo("float32").tiny)
