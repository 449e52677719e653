"""Checkpoints of a training run: arrays and a JSON state in one .npz file, written in one move, never pickled."""

from __future__ import annotations

import io
import json
import re
import zipfile

import numpy as np

from udfs import files

NAME = re.compile(r"step-(\d{9})\.npz")


def save(folder: str, step: int, arrays: list[np.ndarray], state: dict, keep: int) -> None:
    """Writes the checkpoint of a step into a folder (a URI), then deletes all but the newest `keep`."""
    files.write_bytes(f"{folder}/step-{step:09d}.npz", pack(arrays, state))
    for name in _names(folder)[:-keep]:
        files.delete(f"{folder}/{name}")


def latest(folder: str) -> tuple[list[np.ndarray], dict] | None:
    """Arrays and state of the newest readable checkpoint; a damaged one is passed over for the one before."""
    for name in reversed(_names(folder)):
        try:
            return unpack(files.read_bytes(f"{folder}/{name}"))
        except (zipfile.BadZipFile, ValueError, KeyError, EOFError):
            continue
    return None


def pack(arrays: list[np.ndarray], state: dict) -> bytes:
    stream = io.BytesIO()
    named = {f"array_{number:04d}": array for number, array in enumerate(arrays)}
    np.savez(stream, state=np.frombuffer(json.dumps(state).encode(), dtype="uint8"), **named)
    return stream.getvalue()


def unpack(content: bytes) -> tuple[list[np.ndarray], dict]:
    """The arrays and state that `pack` put into bytes. Raises BadZipFile, ValueError or KeyError for damaged ones."""
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        arrays = [found[name] for name in sorted(found.files) if name != "state"]
        return arrays, json.loads(found["state"].tobytes())


def _names(folder: str) -> list[str]:
    return [name for name in files.names(folder) if NAME.fullmatch(name)]
