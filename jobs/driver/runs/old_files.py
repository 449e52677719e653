"""Files by their time of modification, on any store that fsspec supports."""

from __future__ import annotations

from collections.abc import Iterator

import fsspec


def walk(uri: str) -> Iterator[tuple[str, float]]:
    """Yields the URI and the time of modification, in seconds since 1970, of every file below a folder."""
    system, path = fsspec.core.url_to_fs(uri)
    for entry in system.find(path, detail=True).values():
        yield system.unstrip_protocol(entry["name"]), _seconds(system, entry)


def newest(folder: str) -> float:
    """The latest time of modification of a file below a folder, in seconds since 1970; 0 if there are no files."""
    return max((modified for _, modified in walk(folder)), default=0.0)


def modified(uri: str) -> float | None:
    """The time of modification of a file, in seconds since 1970; None if there is no such file."""
    system, path = fsspec.core.url_to_fs(uri)
    system.invalidate_cache(path)
    try:
        return _seconds(system, system.info(path))
    except FileNotFoundError:
        return None


def delete_tree(uri: str) -> None:
    """Deletes a file, or a folder with everything in it."""
    system, path = fsspec.core.url_to_fs(uri)
    system.rm(path, recursive=True)


def _seconds(system, entry: dict) -> float:
    return entry["mtime"] if "mtime" in entry else system.modified(entry["name"]).timestamp()
