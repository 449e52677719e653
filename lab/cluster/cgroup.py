"""A cap on the processors that a node uses, by cgroup v1 or v2, whichever has the cpu controller."""

from __future__ import annotations

import contextlib
import errno
import time
from dataclasses import dataclass
from pathlib import Path

# The kernel's own period of 100 ms would stop a node for 60 ms of it at once, with a message of the others waiting.
PERIOD_MICROSECONDS = 10_000
LEAST_QUOTA_MICROSECONDS = 1000  # of the kernel
BUSY_SECONDS = 30  # a large process that was killed leaves its cgroup a moment after it has become a zombie


@dataclass(frozen=True)
class Root:
    """Where the cpu controller is mounted, and in which version."""

    path: Path
    version: int


def find_root(mounts: str | None = None) -> Root | None:
    """The cpu controller's place among the mounts (the text of /proc/self/mounts); None where there is none."""
    found = []
    for line in (mounts or Path("/proc/self/mounts").read_text()).splitlines():
        _device, place, kind, options, *_ = line.split()
        if kind == "cgroup" and "cpu" in options.split(","):
            found.append(Root(Path(place), 1))
        elif kind == "cgroup2" and "cpu" in _controllers(Path(place)):
            found.append(Root(Path(place), 2))
    return found[0] if found else None


def _controllers(place: Path) -> list[str]:
    try:
        return (place / "cgroup.controllers").read_text().split()
    except OSError:
        return []


def create(root: Root, name: str, cpus: float) -> Path:
    """Makes a cgroup whose processes together use at most so many processors."""
    period = max(PERIOD_MICROSECONDS, round(LEAST_QUOTA_MICROSECONDS / cpus))
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
    with contextlib.suppress(OSError):
        return set(map(int, (group / "cgroup.procs").read_text().split()))
    return set()


def remove(group: Path) -> None:
    """Removes a cgroup whose processes were ended; one that is gone is fine. Raises OSError where it stays busy."""
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
