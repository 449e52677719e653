"""Files of a run folder, on any store that fsspec knows."""

from __future__ import annotations

import os

import fsspec


def read_bytes(uri: str) -> bytes:
    with fsspec.open(uri, "rb") as stream:
        return stream.read()


def write_bytes(uri: str, content: bytes) -> None:
    """Writes a file aside and moves it into place, so that a reader sees the old content or the new."""
    system, path = fsspec.core.url_to_fs(uri)
    aside = f"{path}.{os.urandom(6).hex()}.tmp"
    system.makedirs(os.path.dirname(path), exist_ok=True)
    with system.open(aside, "wb") as stream:
        stream.write(content)
    system.mv(aside, path)


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
    return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in system.ls(path, detail=False))


def delete(uri: str) -> None:
    system, path = fsspec.core.url_to_fs(uri)
    system.rm(path)
