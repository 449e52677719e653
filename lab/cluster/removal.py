"""Decides whether a laboratory has to be removed, and removes it."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.cluster import cgroup, network, processes
from lab.cluster.spark import DAEMONS
from lab.cluster.state import State


def is_abandoned(state: State) -> bool:
    """Whether the process that owns a laboratory has ended."""
    return state.owner is not None and not state.owner.is_alive()


def is_broken(state: State) -> bool:
    """Whether a part of a laboratory that should be up is missing."""
    if state.owner is not None:
        return not state.owner.is_alive()
    daemons = [process for process in state.processes if process.name in DAEMONS]
    return not all(map(network.exists, state.namespaces)) or not all(daemon.is_alive() for daemon in daemons)


def take_down(state: State) -> None:
    """Ends the processes, then removes cgroups, namespaces with their links, and files. Missing parts are no error."""
    groups = [Path(group) for group in state.cgroups]
    processes.end_all(state.processes, state.namespaces, groups)
    for group in groups:
        cgroup.remove(group)
    for namespace in state.namespaces:
        network.remove(namespace)
    shutil.rmtree(state.folder, ignore_errors=True)
    state.remove()
