"""Arrow columns of features as NumPy matrices."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def feature_rows(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Returns a column of lists of equal length as a matrix (rows, feature size) of the same dtype."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Returns the rows of a matrix scaled to length 1, in float32; rows of zeros stay zero."""
    features = np.asarray(features, "float32")
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo("float32").tiny)
