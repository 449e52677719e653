"""Laboratories for tests: where they can be made, and what they leave behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.cluster import cgroup, network
from lab.cluster.machine import missing
from lab.cluster.settings import Settings, load
from lab.cluster.state import STATES

NAME = f"test{os.getpid()}"  # tests of two checkouts may run at the same time


def settings_for(folder: Path, *overrides: str) -> Settings:
    """Settings of a laboratory for a test, which is skipped, with the reason, where it cannot be made."""
    settings = load(None, [f"name={NAME}", f"folder={folder}", "spark=false", "verify_seconds=0", *overrides])
    if found := missing(settings):
        pytest.skip(f"laboratory: missing {'; '.join(found)}")
    return settings


def traces(folder: Path, name: str = NAME) -> dict[str, list[str]]:
    """What there is of a laboratory on this machine outside its own namespaces, by kind; only kinds of which there is some."""
    root = cgroup.find_root()
    places = {
        "namespaces": network.NAMESPACES.glob(f"{name}-*"),
        "hosts files": network.ETC.glob(f"{name}-*"),
        "cgroups": root.path.glob(f"{name}-*") if root else [],
        "states": [path for path in STATES.glob("*") if name in path.name],
        "files": folder.glob("laboratory-*"),
    }
    found = {kind: sorted(map(str, paths)) for kind, paths in places.items()}
    return {kind: paths for kind, paths in found.items() if paths}
