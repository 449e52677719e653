"""What a Spark task of feature extraction does: it decodes photos, computes their features and reports refused photos."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from udfs.errors import InputError
from udfs.process_cache import load_once
from udfs.vision.decode import Photo, PhotoLimits, PhotoRefused
from udfs.vision.extractor import Extractor, load_network
from udfs.vision.features import FEATURE, NOT_FLOAT16, SHAPE, to_stored
from udfs.vision.isolated_decoder import IsolatedDecoder

RESULT_SCHEMA = """
    image_id string, content_hash string, feature binary, feature_shape array<int>, notes array<string>,
    reason string, details string
"""
PROBE_SCHEMA = "shape array<int>, problem string"


def probe(
    extractor: Extractor, weights_name: str | None, task_cores: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Builds the network before any photo is read; its Python worker keeps the network for the tasks that follow.

    Args:
        extractor: Which features are computed.
        weights_name: Name of the weights file that the driver distributed with `SparkContext.addFile`; None for random
            weights.
        task_cores: CPU cores of the task.
        batches: Any rows; they are ignored.

    Yields:
        One row of PROBE_SCHEMA: the shape of a feature, or else the reason why the network cannot be built.
    """
    shape, problem = None, None
    for _ in batches:
        try:
            shape = load_once(load_network, extractor, local_weights(weights_name), task_cores=task_cores).feature_shape
        except InputError as error:
            problem = str(error)
    columns = [pa.array([shape], pa.list_(pa.int32())), pa.array([problem], pa.string())]
    yield pa.RecordBatch.from_arrays(columns, names=["shape", "problem"])


def extract(
    extractor: Extractor,
    weights_name: str | None,
    limits: PhotoLimits,
    batch_size: int,
    task_cores: int,
    batches: Iterator[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """Computes the features of photos.

    Args:
        extractor: Which features are computed.
        weights_name: Name of the weights file that the driver distributed with `SparkContext.addFile`; None for random
            weights.
        limits: Which photos are accepted.
        batch_size: Photos per call of the network.
        task_cores: CPU cores of the task.
        batches: Rows (image_id, content_hash, content).

    Yields:
        Rows of RESULT_SCHEMA. A refused photo has no feature, but a reason and details. `notes` are those of `Photo`. A feature
        that 16 bits cannot hold is refused too, with the reason NOT_FLOAT16.
    """
    decoder = load_once(IsolatedDecoder, limits, extractor.resize)
    decoder.start()  # it gets ready while the network is built
    network = load_once(load_network, extractor, local_weights(weights_name), task_cores=task_cores)
    shape = network.feature_shape
    for batch in batches:
        for start in range(0, batch.num_rows, batch_size):
            rows = batch.slice(start, batch_size)
            outcomes = [_decode(decoder, content, network.photo_size) for content in rows.column("content")]
            pixels = [outcome.pixels for outcome in outcomes if isinstance(outcome, Photo)]
            if extractor.is_mirrored:
                pixels = [photo[:, ::-1] for photo in pixels]
            features = network.predict(np.stack(pixels)).numpy() if pixels else np.zeros((0, *shape), "float32")
            yield _result(rows, shape, *_cells(features, outcomes))


def rounded(features: np.ndarray) -> np.ndarray:
    """One photo's feature as the tables store it, (1, ...). Raises PhotoRefused if 16 bits cannot hold it."""
    stored, (problem,) = to_stored(features)
    if problem:
        raise PhotoRefused(NOT_FLOAT16, problem)
    return stored


def local_weights(name: str | None) -> str | None:
    """Returns the local path of a weights file that the driver distributed with `SparkContext.addFile`."""
    from pyspark import SparkFiles

    return None if name is None else SparkFiles.get(name)


def _decode(decoder: IsolatedDecoder, content: pa.Scalar, size: tuple[int, int]) -> Photo | PhotoRefused:
    try:
        return decoder.decode(memoryview(content.as_buffer()), size)
    except PhotoRefused as refused:
        return refused


def _cells(
    features: np.ndarray, outcomes: list[Photo | PhotoRefused]
) -> tuple[list[bytes | None], list[Photo | PhotoRefused]]:
    """The cell of each photo, null where it is refused, and the outcomes with the refusals of features.

    features: float32 (decoded photos, *feature_shape).
    """
    computed = iter(zip(*to_stored(features), strict=True))
    cells: list[bytes | None] = []
    final: list[Photo | PhotoRefused] = []
    for outcome in outcomes:
        cell = None
        if isinstance(outcome, Photo):
            feature, problem = next(computed)
            if problem:
                outcome = PhotoRefused(NOT_FLOAT16, problem)
            else:
                cell = feature.tobytes()
        cells.append(cell)
        final.append(outcome)
    return cells, final


def _result(
    rows: pa.RecordBatch, shape: list[int], cells: list[bytes | None], outcomes: list[Photo | PhotoRefused]
) -> pa.RecordBatch:
    columns = {
        "image_id": rows.column("image_id"),
        "content_hash": rows.column("content_hash"),
        FEATURE: pa.array(cells, pa.binary()),
        SHAPE: pa.array([shape if cell is not None else None for cell in cells], pa.list_(pa.int32())),
        "notes": pa.array([getattr(outcome, "notes", None) for outcome in outcomes], pa.list_(pa.string())),
        "reason": pa.array([getattr(outcome, "reason", None) for outcome in outcomes], pa.string()),
        "details": pa.array([getattr(outcome, "details", None) for outcome in outcomes], pa.string()),
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
