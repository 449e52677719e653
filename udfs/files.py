"""Files of a run folder, on any store that fsspec knows."""

from __future__ import annotations

import os
from collections.abc import Callable

import fsspec


def read_bytes(uri: str) -> bytes:
    with fsspec.open(uri, "rb") as stream:
        return stream.read()


def write_bytes(uri: str, content: bytes, before_move: Callable[[], None] = lambda: None) -> None:
    """Writes a file aside and moves it into place, so that a reader sees the old content or the new.

    `before_move` is called when all is written but the move; where it raises, the old content stays.
    """
    system, path = fsspec.core.url_to_fs(uri)
    aside = _write_aside(system, path, content)
    try:
        before_move()
        system.mv(aside, path)
    except BaseException:
        if system.exists(aside):
            system.rm(aside)
        raise


def create_bytes(uri: str, content: bytes) -> None:
    """Writes a file that must not be there yet: of two that try at once, one succeeds. Raises FileExistsError."""
    system, path = fsspec.core.url_to_fs(uri)
    if "file" not in system.protocol:
        _create_remote(system, path, content)
        return
    aside = _write_aside(system, path, content)
    try:
        os.link(aside, path)  # atomic, and never half a file
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with open(path, "xb") as stream:
            stream.write(content)
    finally:
        os.unlink(aside)


def write_text(uri: str, text: str) -> None:
    write_bytes(uri, text.encode())


def exists(uri: str) -> bool:
    system, path = fsspec.core.url_to_fs(uri)
    return system.exists(path)


def names(uri: str) -> list[str]:
    """The names in a folder, sorted; none where there is no folder."""
    system, path = fsspec.core.url_to_fs(uri)
    if not system.exists(path):
        return []
    system.invalidate_cache(path)
    return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in system.ls(path, detail=False))


def delete(uri: str) -> None:
    system, path = fsspec.core.url_to_fs(uri)
    system.rm(path)


def _write_aside(system, path: str, content: bytes) -> str:
    aside = f"{path}.{os.urandom(6).hex()}.tmp"
    system.makedirs(os.path.dirname(path), exist_ok=True)
    with system.open(aside, "wb") as stream:
        stream.write(content)
    return aside


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
