"""Checkpoints of a training run: arrays and a JSON state in one .npz file, written in one move, never pickled."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import dataclass, replace

import numpy as np

from udfs import files
from udfs.engine.attempts import RunWriter

FOLDER = "checkpoints"
NAME = re.compile(r"attempt-(\d{6})-step-(\d{9})\.npz")
OWN = "{name}.rank-{rank:06d}"  # what a worker alone has, beside the checkpoint with that name
DAMAGE = (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError)


@dataclass
class Checkpoint:
    """All that training needs to go on: the variables of model and optimizer, the best epoch's weights, and the state.

    `best` is empty before the first validation. `state` is JSON: epoch, step, the epoch's sums so far, the history.
    `name` is that of the file it was read from.
    """

    variables: list[np.ndarray]
    best: list[np.ndarray]
    state: dict
    name: str = ""


def save(writer: RunWriter, step: int, checkpoint: Checkpoint, keep: int) -> None:
    """Writes the checkpoint of a step (counted over all epochs), then deletes all but the newest `keep`."""
    writer.write_bytes(f"{FOLDER}/{_name(writer, step)}", pack(checkpoint))
    old = set(_names(writer.folder)[:-keep])
    for name in files.names(f"{writer.folder}/{FOLDER}"):
        if name.split(".rank-")[0] in old:
            files.delete(f"{writer.folder}/{FOLDER}/{name}")


def save_own(writer: RunWriter, step: int, rank: int, arrays: list[np.ndarray]) -> None:
    """Writes what only this worker has, before the chief writes the checkpoint of that step."""
    name = OWN.format(name=_name(writer, step), rank=rank)
    writer.write_bytes(f"{FOLDER}/{name}", pack(Checkpoint(arrays, [], {})))


def latest(run_folder: str, ranks: range = range(0)) -> Checkpoint | None:
    """The newest readable checkpoint of a run; a damaged one is passed over for the one before.

    It counts only where each of `ranks` has put its own file beside it.
    """
    for name in reversed(_names(run_folder)):
        try:
            for rank in ranks:
                own(run_folder, name, rank)
            return replace(unpack(files.read_bytes(f"{run_folder}/{FOLDER}/{name}")), name=name)
        except DAMAGE:
            continue
    return None


def own(run_folder: str, name: str, rank: int) -> list[np.ndarray]:
    """What `save_own` wrote beside the checkpoint of that name."""
    return unpack(files.read_bytes(f"{run_folder}/{FOLDER}/{OWN.format(name=name, rank=rank)}")).variables


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


def _name(writer: RunWriter, step: int) -> str:
    return f"attempt-{writer.attempt:06d}-step-{step:09d}.npz"


def _names(run_folder: str) -> list[str]:
    """The checkpoints from the oldest to the newest: those of a later attempt come after those of an earlier one."""
    return sorted(name for name in files.names(f"{run_folder}/{FOLDER}") if NAME.fullmatch(name))
