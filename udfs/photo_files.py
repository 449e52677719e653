"""Reads files of a local folder on the executors, whatever their names: Spark's reader hides some and fails on others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator

import pandas as pd
import pyarrow as pa

HASHED_SCHEMA = "image_id string, length long, content_hash string, problem string"
FILE_SCHEMA = "path string, length long, content binary"
CHUNK = 2**20  # bytes read at a time to hash a file
Batches = Iterator[pa.RecordBatch]


def hash_files(folder: str, max_bytes: int, listing: str, batches: Batches) -> Batches:
    """Hashes files.

    Args:
        folder: The local folder.
        max_bytes: Files that are larger are not read.
        listing: A text that no other listing has. Otherwise Spark takes two listings of equal names and sizes for the same
            query, and answers the second from the cached rows of the first.
        batches: Rows (image_id, length, problem): a file's path below the folder, and why it cannot be read, or null.

    Yields:
        Rows of HASHED_SCHEMA. Empty, too large and unreadable files have no hash.
    """
    for batch in batches:
        rows = batch.to_pylist()
        for row in rows:
            row["content_hash"] = None
            if row["problem"] is None and 0 < row["length"] <= max_bytes:
                try:
                    row["content_hash"] = _sha256(os.path.join(folder, row["image_id"]))
                except OSError as error:
                    row["problem"] = error.strerror or str(error)
        yield pa.RecordBatch.from_arrays(
            [
                pa.array([row["image_id"] for row in rows], pa.string()),
                pa.array([row["length"] for row in rows], pa.int64()),
                pa.array([row["content_hash"] for row in rows], pa.string()),
                pa.array([row["problem"] for row in rows], pa.string()),
            ],
            names=["image_id", "length", "content_hash", "problem"],
        )


def with_contents(folder: str, max_bytes: int, work: Callable[[Batches], Batches], batches: Batches) -> Batches:
    """Adds the column `content` to rows with the column image_id, and passes them to `work`.

    A file that cannot be read any more, or has grown beyond max_bytes, has no bytes.
    """
    return work(_read(folder, max_bytes, batches))


def read_files(max_bytes: int, batches: Batches) -> Batches:
    """Reads local files.

    Args:
        max_bytes: The content of larger files is null.
        batches: Rows (path, local): a file's URI and its local path.

    Yields:
        Rows of FILE_SCHEMA, one a batch.
    """
    for batch in batches:
        for row in batch.to_pylist():
            content = _content(row["local"], max_bytes)
            length = os.path.getsize(row["local"]) if os.path.exists(row["local"]) else 0
            columns = [pa.array([row["path"]], pa.string()), pa.array([length], pa.int64())]
            columns.append(pa.array([content if length <= max_bytes else None], pa.binary()))
            yield pa.RecordBatch.from_arrays(columns, names=["path", "length", "content"])


def in_pandas(work: Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]], batches: Batches) -> Batches:
    """Makes a function of pandas frames one of Arrow batches."""
    for frame in work(batch.to_pandas() for batch in batches):
        yield pa.RecordBatch.from_pandas(frame, preserve_index=False)


def _read(folder: str, max_bytes: int, batches: Batches) -> Batches:
    for batch in batches:
        names = batch.column("image_id").to_pylist()
        contents = pa.array([_content(os.path.join(folder, name), max_bytes) for name in names], pa.binary())
        yield pa.RecordBatch.from_arrays([*batch.columns, contents], names=[*batch.schema.names, "content"])


def _content(path: str, max_bytes: int) -> bytes:
    try:
        with open(path, "rb") as stream:
            content = stream.read(max_bytes + 1)
    except OSError:
        return b""
    return content if len(content) <= max_bytes else b""


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
