"""Files by age, on any store that fsspec knows."""

from __future__ import annotations

from collections.abc import Iterator

import fsspec


def walk(uri: str) -> Iterator[tuple[str, float]]:
    """URI and time of the last change, in seconds since 1970, of every file below a folder."""
    system, path = fsspec.core.url_to_fs(uri)
    for entry in system.find(path, detail=True).values():
        yield system.unstrip_protocol(entry["name"]), _seconds(system, entry)


def newest(folder: str) -> float:
    """When anything in a folder was last written, in seconds since 1970; 0 where nothing is there."""
    return max((modified for _, modified in walk(folder)), default=0.0)


def delete_tree(uri: str) -> None:
    system, path = fsspec.core.url_to_fs(uri)
    system.rm(path, recursive=True)


def _seconds(system, entry: dict) -> float:
    return entry["mtime"] if "mtime" in entry else system.modified(entry["name"]).timestamp()
