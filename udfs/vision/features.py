"""Features as tables store them: 16-bit floats in a binary cell, beside their shape.

A cell holds the values of one photo's feature as little-endian IEEE 754 binary16, in C order. `feature_shape` is (values,) for a
vector and (rows, columns, channels) for the map of a convolution, so that a map keeps its positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from udfs.errors import InputError

FEATURE, SHAPE = "feature", "feature_shape"
MIRRORED = "mirrored_feature"  # of the mirrored photo, in the table examples
COLUMNS = ["image_id", FEATURE, SHAPE]
POOLED_SCHEMA = f"image_id string, {FEATURE} binary, {SHAPE} array<int>"
STORED = np.dtype("<f2")
NOT_FLOAT16 = "feature_not_float16"  # the reason for which a photo is refused
# Rounding to 11 bits changes a value by at most 2^-11 of the largest one, unless that is too large or too small for float16.
LARGEST_ERROR = 2.0**-10


def to_stored(features: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Rounds features to 16 bits.

    Args:
        features: float32 (rows, ...).

    Returns:
        The features in STORED, and for each row why 16 bits cannot hold it: empty if they can.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        stored = features.astype(STORED)
        axes = tuple(range(1, features.ndim))
        largest = np.abs(features).max(axis=axes, initial=0)
        error = np.abs(stored.astype("float32") - features).max(axis=axes, initial=0)
        fits = error <= LARGEST_ERROR * largest  # false for NaN
    return stored, ["" if fit else _misfit(value) for fit, value in zip(fits, largest, strict=True)]


def _misfit(largest: float) -> str:
    return (
        f"its largest value is {largest:.3g}, expected one between 3e-05 and 65504, which 16 bits can hold; choose other "
        "extractor.weights or another extractor.layer"
    )


def feature_rows(rows: pa.RecordBatch | pa.Table) -> np.ndarray:
    """Returns the features of a table's rows: STORED (rows, *feature_shape).

    Args:
        rows: Rows with the columns feature and feature_shape, of one extractor.

    Raises:
        InputError: The shapes differ, or a cell has not the bytes of its shape.
    """
    if not rows.num_rows:
        return np.zeros((0, 0), STORED)
    cells, shapes = rows.column(FEATURE), {tuple(shape or ()) for shape in rows.column(SHAPE).to_pylist()}
    is_binary = pa.types.is_binary(cells.type) or pa.types.is_large_binary(cells.type)
    lengths = set(pc.binary_length(cells).to_pylist()) if is_binary else {str(cells.type)}
    shape = next(iter(shapes))
    if len(shapes) > 1 or not shape or not all(shape) or lengths != {STORED.itemsize * math.prod(shape)}:
        raise InputError(
            f"column {FEATURE}: found cells of {_some(lengths)} bytes with the shapes {_some(shapes)}, expected one shape and "
            f"{STORED.itemsize} bytes a value; run jobs/extract_features.py with extractor.recompute=true"
        )
    return np.frombuffer(b"".join(cells.to_pylist()), STORED).reshape(-1, *shape)


def features_of_cells(cells: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the features in the cells of a file of examples: STORED (rows, *shape), a view of the cells.

    Args:
        cells: uint8 (rows, bytes of a cell). Any other dtype means that the file holds something else.
        shape: The shape of each feature.

    Raises:
        InputError: The cells do not have the bytes of the shape.
    """
    length = STORED.itemsize * math.prod(shape)
    if cells.dtype != np.uint8 or cells.shape[1:] != (length,):
        lengths = {len(cell) for cell in cells if isinstance(cell, bytes)} or {f"{cells.dtype} {cells.shape[1:]}"}
        raise InputError(
            f"column {FEATURE}: found cells of {_some(lengths)} bytes, expected {length} bytes, {STORED.itemsize} for each "
            f"value of the shape {list(shape)}; the file was changed after it was written, or an earlier version wrote it: "
            "run jobs/build_examples.py again"
        )
    return cells.view(STORED).reshape(len(cells), *shape)


def pooled_rows(rows: pa.RecordBatch | pa.Table) -> np.ndarray:
    """Returns the features of a table's rows as vectors, float32 (rows, channels): a map is averaged over its positions."""
    features = feature_rows(rows)
    return features.mean(axis=tuple(range(1, features.ndim - 1)), dtype="float32")


def pool_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Replaces the features of rows (COLUMNS) by their averages over positions, as a map step; vectors stay as they are."""
    for batch in batches:
        vectors = pooled_rows(batch).astype(STORED)
        cells = pa.array([vector.tobytes() for vector in vectors], pa.binary())
        shapes = pa.array([[vector.size] for vector in vectors], pa.list_(pa.int32()))
        yield pa.RecordBatch.from_arrays([batch.column("image_id"), cells, shapes], names=COLUMNS)


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Returns the rows of a matrix scaled to length 1, in float32; rows of zeros stay zero."""
    features = np.asarray(features, "float32")
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo("float32").tiny)


def _some(values: set) -> str:
    """Up to three values for a message."""
    texts = sorted(map(str, values))
    return ", ".join(texts[:3]) + (", ..." if len(texts) > 3 else "")
