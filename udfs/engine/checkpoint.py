"""Checkpoints of a training run: arrays and a JSON state in one .npz file, moved into place at once, never pickled."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from udfs import files
from udfs.engine.arrays import Array
from udfs.engine.attempts import RunWriter
from udfs.engine.metrics import EpochMetrics
from udfs.errors import InputError
from udfs.run_folder import RunFolder

NAME = re.compile(r"attempt-(\d{6})-step-(\d{9})\.npz")
WORKER_FILE = "{name}.rank-{rank:06d}"  # the state that a worker alone has, beside the checkpoint of that name
FORMAT = 2  # of the state; version 0.1 of the project wrote none
DAMAGE = (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError)


@dataclass
class Progress:
    """How far training has come: the next step, what the epoch has summed so far, and the completed epochs."""

    epoch: int = 1
    step: int = 0
    sums: list[float] = field(default_factory=list)
    seconds: float = 0.0
    history: list[EpochMetrics] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @staticmethod
    def from_json(values: dict[str, Any]) -> Progress:
        """Raises InputError if another version of the project wrote the values."""
        values = dict(values)
        if values.pop("format", 1) != FORMAT:
            raise InputError(
                "run.id: another version of the project wrote the run's checkpoints; choose another run.id"
            )
        return Progress(**{**values, "history": [EpochMetrics.from_json(epoch) for epoch in values["history"]]})


@dataclass
class Checkpoint:
    """All that training needs to continue.

    Attributes:
        variables: The variables of model, optimizer and communication.
        best: The weights of the best epoch; empty before the first validation.
        progress: How far training has come.
        name: The name of the file that it was read from.
    """

    variables: list[Array]
    best: list[Array]
    progress: Progress
    name: str = ""


def save(writer: RunWriter, step: int, checkpoint: Checkpoint, keep: int) -> None:
    """Writes the checkpoint of a step (counted over all epochs), then deletes all but the newest `keep`."""
    writer.write_bytes(writer.folder.checkpoint(_name(writer, step)), pack(checkpoint))
    old = set(_names(writer.folder)[:-keep])
    for name in files.names(writer.folder.checkpoints):
        if name.split(".rank-")[0] in old:
            files.delete(writer.folder.checkpoint(name))


def save_worker(writer: RunWriter, step: int, rank: int, arrays: list[Array]) -> None:
    """Writes a worker's own state, before the chief writes the checkpoint of that step."""
    name = WORKER_FILE.format(name=_name(writer, step), rank=rank)
    writer.write_bytes(writer.folder.checkpoint(name), pack(Checkpoint(arrays, [], Progress())))


def latest(folder: RunFolder, ranks: range = range(0)) -> Checkpoint | None:
    """The newest readable checkpoint of a run, or None.

    A damaged checkpoint is skipped. So is one without the own state of each of `ranks`.
    """
    for name in reversed(_names(folder)):
        try:
            for rank in ranks:
                worker_state(folder, name, rank)
            return replace(unpack(files.read_bytes(folder.checkpoint(name))), name=name)
        except InputError:
            raise
        except DAMAGE:
            continue
    return None


def worker_state(folder: RunFolder, name: str, rank: int) -> list[Array]:
    """What `save_worker` wrote beside the checkpoint of that name."""
    return unpack(files.read_bytes(folder.checkpoint(WORKER_FILE.format(name=name, rank=rank)))).variables


def pack(checkpoint: Checkpoint) -> bytes:
    stream = io.BytesIO()
    arrays: dict[str, Array] = {}
    for group in ("variables", "best"):
        arrays |= {f"{group}_{number:04d}": array for number, array in enumerate(getattr(checkpoint, group))}
    state = np.frombuffer(json.dumps(checkpoint.progress.to_json()).encode(), dtype="uint8")
    np.savez(stream, state=state, **arrays)
    return stream.getvalue()


def unpack(content: bytes) -> Checkpoint:
    """The checkpoint in the bytes that `pack` made.

    Raises:
        One of DAMAGE: If the bytes are incomplete.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        variables, best = (
            [arrays[name] for name in sorted(arrays.files) if name.startswith(group)]
            for group in ("variables_", "best_")
        )
        return Checkpoint(variables, best, Progress.from_json(json.loads(arrays["state"].tobytes())))


def _name(writer: RunWriter, step: int) -> str:
    return f"attempt-{writer.attempt:06d}-step-{step:09d}.npz"


def _names(folder: RunFolder) -> list[str]:
    """The checkpoints from the oldest to the newest; those of a later attempt come after those of an earlier one."""
    return sorted(name for name in files.names(folder.checkpoints) if NAME.fullmatch(name))
