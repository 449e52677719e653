"""Checkpoints of a training run: arrays and a JSON state in one .npz file, written in one move, never pickled."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import dataclass

import numpy as np

from udfs import files
from udfs.attempts import RunWriter

FOLDER = "checkpoints"
NAME = re.compile(r"attempt-(\d{6})-step-(\d{9})\.npz")
DAMAGE = (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError)


@dataclass
class Checkpoint:
    """All that training needs to go on: the variables of model and optimizer, the best epoch's weights, and the state.

    `best` is empty before the first validation. `state` is JSON: epoch, step, the epoch's sums so far, the history.
    """

    variables: list[np.ndarray]
    best: list[np.ndarray]
    state: dict


def save(writer: RunWriter, step: int, checkpoint: Checkpoint, keep: int) -> None:
    """Writes the checkpoint of a step (counted over all epochs), then deletes all but the newest `keep`."""
    writer.write_bytes(f"{FOLDER}/attempt-{writer.attempt:06d}-step-{step:09d}.npz", pack(checkpoint))
    for name in _names(writer.folder)[:-keep]:
        files.delete(f"{writer.folder}/{FOLDER}/{name}")


def latest(run_folder: str) -> Checkpoint | None:
    """The newest readable checkpoint of a run; a damaged one is passed over for the one before."""
    for name in reversed(_names(run_folder)):
        try:
            return unpack(files.read_bytes(f"{run_folder}/{FOLDER}/{name}"))
        except DAMAGE:
            continue
    return None


def pack(checkpoint: Checkpoint) -> bytes:
    stream, named = io.BytesIO(), {}
    for group in ("variables", "best"):
        named |= {f"{group}_{number:04d}": array for number, array in enumerate(getattr(checkpoint, group))}
    np.savez(stream, state=np.frombuffer(json.dumps(checkpoint.state).encode(), dtype="uint8"), **named)
    return stream.getvalue()


def unpack(content: bytes) -> Checkpoint:
    """The checkpoint that `pack` put into bytes. Raises one of DAMAGE where they are not whole."""
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        groups = [[found[name] for name in sorted(found.files) if name.startswith(g)] for g in ("variables_", "best_")]
        return Checkpoint(*groups, json.loads(found["state"].tobytes()))


def _names(run_folder: str) -> list[str]:
    """The checkpoints from the oldest to the newest: those of a later attempt come after those of an earlier one."""
    return sorted(name for name in files.names(f"{run_folder}/{FOLDER}") if NAME.fullmatch(name))
