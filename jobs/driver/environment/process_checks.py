"""Checks of the job's own process, which need no Spark session."""

from __future__ import annotations

import json
import locale
import os
import platform
import re
import resource
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from jobs.driver.environment.check import Check

PROJECT = "captioner-on-spark"
PYTHON = (3, 11)
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "no_proxy", "no_grpc_proxy")
GIB = 2**30
FREE_BYTES = 2 * GIB  # less is a warning: shuffles of a middle-sized corpus
LEAST_FREE_BYTES = GIB // 10  # less is an error: Spark's own files
OPEN_FILES = 1024


def process_checks() -> list[Check]:
    """Checks Python, the packages, encodings, Keras, proxies, disk and limits, in a few hundredths of a second."""
    return [
        python_check(),
        packages_check(),
        encoding_check(),
        keras_check(),
        proxy_check(),
        *(scratch_check(folder) for folder in scratch_folders(None)),
        open_files_check(),
    ]


def python_check() -> Check:
    found = f"{platform.python_version()} ({sys.executable}) on {platform.platform()}"
    if sys.version_info[:2] != PYTHON:
        return Check(
            "Python", "error", found, f"use Python {PYTHON[0]}.{PYTHON[1]}, for which the dependencies are built"
        )
    return Check("Python", "ok", found)


def packages_check() -> Check:
    """Whether the installed packages are those that the project's metadata ask for."""
    try:
        requirements = [Requirement(line) for line in requires(PROJECT) or []]
    except PackageNotFoundError:
        return Check("packages", "ok", f"no metadata of {PROJECT}, so versions were not compared")
    missing, other = [], []
    for requirement in requirements:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            missing.append(requirement.name)
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            other.append(f"{requirement.name} {installed} instead of {requirement.specifier}")
    if missing:
        return Check("packages", "error", f"no {', '.join(missing)}", f"install them: pip install {' '.join(missing)}")
    if other:
        return Check("packages", "warning", ", ".join(other), "install the versions of requirements.lock")
    shown = ("pyspark", "tensorflow", "keras", "numpy", "pyarrow")
    return Check("packages", "ok", ", ".join(f"{name} {version(name)}" for name in shown))


def encoding_check() -> Check:
    """Whether Python can hold names of files in any script."""
    names, text = sys.getfilesystemencoding(), locale.getencoding()
    found = f"{names} for file names, {text} for text, LC_ALL={os.environ.get('LC_ALL', '')}, LANG={os.environ.get('LANG', '')}"
    if names.lower() != "utf-8":
        return Check("encoding of Python", "warning", found, "set LC_ALL=C.UTF-8, or PYTHONUTF8=1")
    return Check("encoding of Python", "ok", found)


def keras_check() -> Check:
    """What Keras's configuration asks for; `udfs.keras_setup` sets what the project needs instead."""
    folder = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    try:
        configured = json.loads((Path(folder).expanduser() / "keras.json").read_text())
        if not isinstance(configured, dict):
            configured = {}
    except (OSError, ValueError):
        configured = {}
    backend = os.environ.get("KERAS_BACKEND") or configured.get("backend", "tensorflow")
    layout = configured.get("image_data_format", "channels_last")
    changed = "" if (backend, layout) == ("tensorflow", "channels_last") else "; jobs use tensorflow, channels_last"
    return Check("keras.json", "ok", f"{backend}, {layout}{changed}")


def proxy_check() -> Check:
    """The proxies in the environment, without passwords. Workers connect to each other directly in any case."""
    found = {
        name: value
        for key in PROXIES
        for name in (key, key.upper())
        if (value := without_password(os.environ.get(name, "")))
    }
    if not found:
        return Check("proxies", "ok", "none")
    shown = ", ".join(f"{name}={value}" for name, value in found.items())
    return Check("proxies", "ok", f"{shown}; connections between workers do without them")


def without_password(url: str) -> str:
    """The URL of a proxy without user name and password; the scheme may be missing."""
    return re.sub(r"^(\w+://)?[^/]*@", r"\1", url)


def scratch_folders(configured: str | None) -> list[str]:
    """The folders in which Spark keeps shuffles and spills.

    Args:
        configured: The session's `spark.local.dir`.
    """
    folders = os.environ.get("SPARK_LOCAL_DIRS") or configured or tempfile.gettempdir()
    return [folder.strip() for folder in folders.split(",") if folder.strip()]


def scratch_check(folder: str) -> Check:
    """Whether Spark can write its scratch files, and has room for them."""
    name, there = "SPARK_LOCAL_DIRS", Path(folder).absolute()
    while not there.exists():  # Spark creates the folder
        there = there.parent
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return Check(name, "error", f"{folder}, where {there} cannot be written", "name a folder that can be written")
    free = shutil.disk_usage(there).free
    found = f"{free / GIB:.1f} GB free in {folder}"
    if free < LEAST_FREE_BYTES:
        return Check(name, "error", found, "free some space, or name a folder on another disk")
    if free < FREE_BYTES:
        return Check(name, "warning", found, "shuffles of a large corpus need more; name a folder on another disk")
    return Check(name, "ok", found)


def open_files_check() -> Check:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = "no limit" if limit == resource.RLIM_INFINITY else str(limit)
    if 0 <= limit < OPEN_FILES:
        return Check("open files", "warning", found, f"raise the limit: ulimit -n {4 * OPEN_FILES}")
    return Check("open files", "ok", found)
