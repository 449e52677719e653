"""Limits the processors that a node uses, with cgroup v1 or v2, whichever has the cpu controller."""

from __future__ import annotations

import contextlib
import errno
import time
from dataclasses import dataclass
from pathlib import Path

# With the kernel's default period of 100 ms, a node would stop for 60 ms at once while the other nodes wait for its message.
PERIOD_MICROSECONDS = 10_000
MIN_QUOTA_MICROSECONDS = 1000  # the kernel's minimum
BUSY_SECONDS = 30  # a large process that was killed leaves its cgroup shortly after it has become a zombie


@dataclass(frozen=True)
class Root:
    """Where the cpu controller is mounted, and its version: 1 or 2."""

    path: Path
    version: int


def find_root(mounts: str | None = None) -> Root | None:
    """The mount point of the cpu controller, or None.

    Args:
        mounts: The text of /proc/self/mounts, which is read by default.
    """
    for line in (mounts or Path("/proc/self/mounts").read_text()).splitlines():
        _device, place, filesystem, options, *_ = line.split()
        if filesystem == "cgroup" and "cpu" in options.split(","):
            return Root(Path(place), 1)
        if filesystem == "cgroup2" and "cpu" in _controllers(Path(place)):
            return Root(Path(place), 2)
    return None


def _controllers(place: Path) -> list[str]:
    try:
        return (place / "cgroup.controllers").read_text().split()
    except OSError:
        return []


def create(root: Root, name: str, cpus: float) -> Path:
    """Creates a cgroup whose processes together use at most so many processors, or changes the limit of an existing one."""
    period = max(PERIOD_MICROSECONDS, round(MIN_QUOTA_MICROSECONDS / cpus))
    quota = round(cpus * period)
    group = root.path / name
    if root.version == 2 and "cpu" not in (root.path / "cgroup.subtree_control").read_text().split():
        (root.path / "cgroup.subtree_control").write_text("+cpu")
    group.mkdir(exist_ok=True)
    if root.version == 1:
        (group / "cpu.cfs_period_us").write_text(str(period))
        (group / "cpu.cfs_quota_us").write_text(str(quota))
    else:
        (group / "cpu.max").write_text(f"{quota} {period}")
    return group


def pids(group: Path) -> set[int]:
    """The processes in a cgroup; empty if the cgroup does not exist."""
    with contextlib.suppress(OSError):
        return set(map(int, (group / "cgroup.procs").read_text().split()))
    return set()


def remove(group: Path) -> None:
    """Removes a cgroup whose processes have been killed; a missing one is no error.

    Raises:
        OSError: If the cgroup is still in use after BUSY_SECONDS.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return group.rmdir()
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.05)
