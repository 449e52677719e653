"""The file that lists what a laboratory creates. It is written first, so that everything can be removed after a crash.

It is in /run, which is emptied when the machine starts, like namespaces, cgroups and processes.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.cluster.processes import Process

STATES = Path("/run/captioner-lab")


@dataclass
class State:
    """What belongs to a laboratory. `owner` is the process that the laboratory ends with; None if it outlives its creator."""

    name: str
    settings: dict
    owner: Process | None
    namespaces: list[str]
    cgroups: list[str]
    folder: str
    processes: list[Process] = field(default_factory=list)
    links: dict[str, dict] = field(default_factory=dict)  # nominal and measured rates, by node

    def create(self) -> None:
        """Writes the file. Raises FileExistsError if there is a laboratory of this name."""
        STATES.mkdir(parents=True, exist_ok=True)
        temporary = self._write_temporary()
        try:
            os.link(temporary, _file(self.name))
        finally:
            temporary.unlink()

    def save(self) -> None:
        """Replaces the file."""
        self._write_temporary().replace(_file(self.name))

    def _write_temporary(self) -> Path:
        temporary = STATES / f".{self.name}.{os.getpid()}"
        temporary.write_text(json.dumps(asdict(self)))
        return temporary

    def remove(self) -> None:
        """Deletes the file; a missing one is no error."""
        _file(self.name).unlink(missing_ok=True)
        for leftover in STATES.glob(f".{self.name}.*"):
            leftover.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it has the file of another laboratory
            STATES.rmdir()


def read(name: str) -> State | None:
    """The state of a laboratory; None if there is none of this name."""
    try:
        text = _file(name).read_text()
    except FileNotFoundError:
        return None
    values = json.loads(text)
    owner = values["owner"] and Process(**values["owner"])
    return State(**{**values, "owner": owner, "processes": [Process(**process) for process in values["processes"]]})


def all_states() -> list[State]:
    """The states of all laboratories on this machine."""
    return [state for path in sorted(STATES.glob("*.json")) if (state := read(path.stem))]


def _file(name: str) -> Path:
    return STATES / f"{name}.json"
