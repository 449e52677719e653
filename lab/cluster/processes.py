"""Processes of a laboratory, identified by pid and start time, or by their namespace or cgroup."""

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
    """A process, distinguished from a later one with the same pid by `started`, in clock ticks since the machine's start."""

    name: str
    pid: int
    started: int

    @classmethod
    def of(cls, name: str, pid: int) -> Process:
        """The process that has this pid now."""
        return cls(name, pid, _started(pid) or 0)

    def is_alive(self) -> bool:
        """Whether the process runs; a zombie does not."""
        return _started(self.pid) == self.started


def _started(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat; None if the process has ended or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def end_all(recorded: list[Process], namespaces: list[str], groups: list[Path]) -> None:
    """Kills the recorded processes and all processes in these namespaces and cgroups, until none is left.

    Args:
        recorded: Processes by pid and start time.
        namespaces: Names of network namespaces.
        groups: Folders of cgroups.

    Raises:
        RuntimeError: If a process is still alive after END_SECONDS.
    """
    places = {identity for name in namespaces if (identity := _identity(network.NAMESPACES / name))}
    deadline = time.monotonic() + END_SECONDS
    while left := _living(recorded, places, groups):
        for pid, is_target in left.items():
            _kill(pid, is_target)
        if time.monotonic() > deadline:
            raise RuntimeError(f"laboratory: the processes {sorted(left)} are still alive after SIGKILL")
        time.sleep(0.05)


def _living(recorded: list[Process], places: set, groups: list[Path]) -> dict[int, Callable[[], bool]]:
    """The processes to end by pid, each with a function that tells whether the pid still belongs to it."""
    checks: dict[int, Callable[[], bool]] = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if _identity(Path(f"/proc/{pid}/ns/net")) in places:
            checks[pid] = lambda pid=pid: _identity(Path(f"/proc/{pid}/ns/net")) in places
    for group in groups:
        for pid in cgroup.pids(group):
            checks[pid] = lambda pid=pid, group=group: pid in cgroup.pids(group)
    checks |= {process.pid: process.is_alive for process in recorded if process.is_alive()}
    checks.pop(os.getpid(), None)
    return {pid: is_target for pid, is_target in checks.items() if _started(pid) is not None}


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _kill(pid: int, is_target: Callable[[], bool]) -> None:
    """Kills a process; checks it again after opening its pidfd, since a pidfd cannot pass to another process."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            if is_target():
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
