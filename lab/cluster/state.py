"""The file that says what a laboratory has made. It is written before the things are, so that a crash leaves none unknown.

It is in /run, which ends with the machine's boot, as namespaces, cgroups and processes do.
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
    """`owner` is the process that the laboratory ends with; None for one that was left standing on purpose."""

    name: str
    settings: dict
    owner: Process | None
    namespaces: list[str]
    cgroups: list[str]
    folder: str
    processes: list[Process] = field(default_factory=list)
    links: dict[str, dict] = field(default_factory=dict)  # nominal and measured rates, by node

    def create(self) -> None:
        """Raises FileExistsError where there is a laboratory of this name."""
        STATES.mkdir(parents=True, exist_ok=True)
        aside = self._write_aside()
        try:
            os.link(aside, _file(self.name))
        finally:
            aside.unlink()

    def save(self) -> None:
        self._write_aside().replace(_file(self.name))

    def _write_aside(self) -> Path:
        aside = STATES / f".{self.name}.{os.getpid()}"
        aside.write_text(json.dumps(asdict(self)))
        return aside

    def remove(self) -> None:
        _file(self.name).unlink(missing_ok=True)
        for leftover in STATES.glob(f".{self.name}.*"):
            leftover.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another laboratory's file is in it
            STATES.rmdir()


def read(name: str) -> State | None:
    """The state of a laboratory; None where there is none of this name."""
    try:
        text = _file(name).read_text()
    except FileNotFoundError:
        return None
    known = json.loads(text)
    owner = known["owner"] and Process(**known["owner"])
    return State(**{**known, "owner": owner, "processes": [Process(**process) for process in known["processes"]]})


def all_states() -> list[State]:
    return [found for path in sorted(STATES.glob("*.json")) if (found := read(path.stem))]


def _file(name: str) -> Path:
    return STATES / f"{name}.json"
