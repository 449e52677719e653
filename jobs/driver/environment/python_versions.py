"""The Python that executors use, compared with the driver's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

from pyspark.sql import SparkSession

from jobs.driver.environment.check import Check
from udfs.errors import InputError

NAME = "spark.pyspark.python"
ADVICE = "set spark.pyspark.python (or PYSPARK_PYTHON) to the driver's Python or one with the same packages"
PACKAGES = ("tensorflow", "keras", "numpy", "pyarrow")
PROBE_SECONDS = 20
MISMATCH = re.compile(
    r"PYTHON_VERSION_MISMATCH\]?.*?different version: (\S+) than that in driver: (\d+\.\d+)", re.DOTALL
)
PROBE = f"""
import json, sys
from importlib.metadata import PackageNotFoundError, version
def installed(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
packages = {{name: installed(name) for name in {PACKAGES}}}
print(json.dumps({{"python": "%d.%d" % sys.version_info[:2], **packages}}))
"""


def versions() -> dict[str, str | None]:
    """This process's versions of Python and of the packages that must agree between driver and executors."""
    installed: dict[str, str | None] = {"python": f"{sys.version_info[0]}.{sys.version_info[1]}"}
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            installed[name] = None
    return installed


def local_python_check(spark: SparkSession) -> Check:
    """Checks the Python that `local` tasks will use; on clusters it cannot be seen from here, so nothing is checked."""
    python = str(spark.sparkContext.pythonExec)
    if not spark.sparkContext.master.startswith("local"):
        return Check(NAME, "ok", f"{python} on the executors")
    path = shutil.which(python)
    if path is None:
        return Check(NAME, "error", f"{python}, which is no program", ADVICE)
    if os.path.abspath(path) == os.path.abspath(sys.executable):
        return Check(NAME, "ok", f"{path}, the driver's")
    try:
        done = subprocess.run([path, "-c", PROBE], capture_output=True, text=True, timeout=PROBE_SECONDS, check=True)
        there = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Check(NAME, "error", f"{path}, which does not run ({type(error).__name__})", ADVICE)
    return compared(path, there)


def compared(place: str, there: dict[str, str | None]) -> Check:
    """Compares the versions of another Python with the driver's.

    Args:
        place: Where the other Python is, for the message.
        there: Its `versions`.
    """
    here = versions()
    differing = {name: there.get(name) for name in here if there.get(name) != here[name]}
    if not differing:
        return Check(NAME, "ok", f"{place} with {', '.join(f'{name} {value}' for name, value in here.items())}")
    words = [f"{name} {value or 'missing'} (the driver has {here[name]})" for name, value in differing.items()]
    is_usable = "python" not in differing and None not in differing.values()
    return Check(NAME, "warning" if is_usable else "error", f"{place} with {', '.join(words)}", ADVICE)


def explained(error: BaseException) -> InputError | None:
    """Spark's report of executors with another Python as the input error that it is; None for any other error."""
    match = MISMATCH.search(str(error))
    if not match:
        return None
    executors, driver = (text.rstrip(".,") for text in match.groups())
    return InputError(
        f"{NAME}: found Python {executors} on the executors, expected {driver} as in the driver; {ADVICE}"
    )
