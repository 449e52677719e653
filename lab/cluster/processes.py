"""Processes of the laboratory: known by pid and start time, or by the namespace or cgroup that they are in."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.cluster import cgroup, network

END_SECONDS = 30


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same pid. `started`: clock ticks since the boot."""

    name: str
    pid: int
    started: int

    @classmethod
    def of(cls, name: str, pid: int) -> Process:
        return cls(name, pid, _started(pid) or 0)

    def is_alive(self) -> bool:
        return _started(self.pid) == self.started


def _started(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat; None for a process that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def end_all(recorded: list[Process], namespaces: list[str], groups: list[Path]) -> None:
    """Kills the recorded processes and those in these namespaces and cgroups, until none is left.

    Raises RuntimeError where one is still there after END_SECONDS.
    """
    places = {found for name in namespaces if (found := _identity(network.NAMESPACES / name))}
    deadline = time.monotonic() + END_SECONDS
    while left := _living(recorded, places, groups):
        for pid, is_ours in left.items():
            _kill(pid, is_ours)
        if time.monotonic() > deadline:
            raise RuntimeError(f"laboratory: processes {sorted(left)} do not end, although they were killed")
        time.sleep(0.05)


def _living(recorded: list[Process], places: set, groups: list[Path]) -> dict[int, Callable[[], bool]]:
    """The processes to end, each with the question whether a pid still is what it was found as."""
    found: dict[int, Callable[[], bool]] = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if _identity(Path(f"/proc/{pid}/ns/net")) in places:
            found[pid] = lambda pid=pid: _identity(Path(f"/proc/{pid}/ns/net")) in places
    for group in groups:
        for pid in cgroup.pids(group):
            found[pid] = lambda pid=pid, group=group: pid in cgroup.pids(group)
    found |= {process.pid: process.is_alive for process in recorded if process.is_alive()}
    found.pop(os.getpid(), None)
    return {pid: is_ours for pid, is_ours in found.items() if _started(pid) is not None}


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _kill(pid: int, is_ours: Callable[[], bool]) -> None:
    """Kills the process behind a pid, asking once more when the pid can no longer pass to another process."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            if is_ours():
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
