"""Settings of laboratories for tests, and a check of what they leave behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.cluster import cgroup, network
from lab.cluster.machine import missing
from lab.cluster.settings import LaboratorySettings, load_settings
from lab.cluster.state import STATES

NAME = f"test{os.getpid()}"  # tests of two checkouts may run at the same time


def settings_for(folder: Path, *overrides: str) -> LaboratorySettings:
    """Settings of a laboratory for a test. If the machine cannot run a laboratory, the test is skipped with the reason."""
    settings = load_settings(None, [f"name={NAME}", f"folder={folder}", "spark=false", "verify_seconds=0", *overrides])
    if problems := missing(settings):
        pytest.skip(f"laboratory: missing {'; '.join(problems)}")
    return settings


def traces(folder: Path, name: str = NAME) -> dict[str, list[str]]:
    """What exists of a laboratory on this machine outside its namespaces, by kind; kinds without anything are left out."""
    root = cgroup.find_root()
    places = {
        "namespaces": network.NAMESPACES.glob(f"{name}-*"),
        "hosts files": network.ETC.glob(f"{name}-*"),
        "cgroups": root.path.glob(f"{name}-*") if root else [],
        "states": [path for path in STATES.glob("*") if name in path.name],
        "files": folder.glob("laboratory-*"),
    }
    existing = {kind: sorted(map(str, paths)) for kind, paths in places.items()}
    return {kind: paths for kind, paths in existing.items() if paths}
