"""Reads and writes the files of a run folder on any store that fsspec supports."""

from __future__ import annotations

import os
from collections.abc import Callable

import fsspec


def read_bytes(uri: str) -> bytes:
    """Returns a file's content. Raises FileNotFoundError if there is no such file."""
    with fsspec.open(uri, "rb") as stream:
        return stream.read()


def write_bytes(uri: str, content: bytes, before_move: Callable[[], None] = lambda: None) -> None:
    """Replaces a file, or creates it with its folder, so that a reader gets either the old content or the new.

    Writes a temporary file beside it and moves that into place.

    Args:
        uri: Path or URI of the file.
        content: The new content.
        before_move: Called after the temporary file is written. If it raises, the old content stays.
    """
    system, path = fsspec.core.url_to_fs(uri)
    temporary = _write_temporary(system, path, content)
    try:
        before_move()
        system.mv(temporary, path)
    except BaseException:
        if system.exists(temporary):
            system.rm(temporary)
        raise


def create_bytes(uri: str, content: bytes) -> None:
    """Creates a file with its folder. Of two processes that create the same file at once, one succeeds.

    Raises:
        FileExistsError: The file exists.
    """
    system, path = fsspec.core.url_to_fs(uri)
    if "file" not in system.protocol:
        _create_remote(system, path, content)
        return
    temporary = _write_temporary(system, path, content)
    try:
        os.link(temporary, path)  # atomic, so no reader gets half of a file
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with open(path, "xb") as stream:
            stream.write(content)
    finally:
        os.unlink(temporary)


def write_text(uri: str, text: str) -> None:
    """Replaces a file by text in UTF-8, like `write_bytes`."""
    write_bytes(uri, text.encode())


def exists(uri: str) -> bool:
    """Returns whether a file or folder exists."""
    system, path = fsspec.core.url_to_fs(uri)
    return system.exists(path)


def names(uri: str) -> list[str]:
    """Returns the sorted names of a folder's files and subfolders; an empty list if the folder does not exist."""
    system, path = fsspec.core.url_to_fs(uri)
    if not system.exists(path):
        return []
    system.invalidate_cache(path)
    return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in system.ls(path, detail=False))


def delete(uri: str) -> None:
    """Deletes a file. Raises FileNotFoundError if there is no such file."""
    system, path = fsspec.core.url_to_fs(uri)
    system.rm(path)


def _write_temporary(system, path: str, content: bytes) -> str:
    temporary = f"{path}.{os.urandom(6).hex()}.tmp"
    system.makedirs(os.path.dirname(path), exist_ok=True)
    with system.open(temporary, "wb") as stream:
        stream.write(content)
    return temporary


def _create_remote(system, path: str, content: bytes) -> None:
    system.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        stream = system.open(path, "xb")  # object stores that can refuse to overwrite do so in one request
    except (ValueError, NotImplementedError):
        if system.exists(path):
            raise FileExistsError(path) from None
        stream = system.open(path, "wb")
    with stream:
        stream.write(content)
