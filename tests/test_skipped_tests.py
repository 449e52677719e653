"""A test run lists what it skipped, and fails for it on CI."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = """\
import pytest


def test_browser():
    pytest.skip("no browser; install one")


def test_sum():
    assert 1 + 1 == 2
"""


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_skipped_tests_are_listed_last_and_fail_on_ci(tmp_path, ci, code):
    (tmp_path / "test_skips.py").write_text(SKIPS)
    folder = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "-c", os.devnull, "--rootdir", tmp_path, tmp_path],
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{folder.parent}", "CI": ci},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == code, done.stdout
    listed = lines.index("no browser; install one")
    assert "skipped tests" in lines[listed - 1]
    assert lines[listed + 1].endswith("test_skips.py::test_browser")
    assert ("FAILED: CI is set, and 1 tests were skipped" in done.stdout) == bool(code)
    assert "1 passed, 1 skipped" in lines[-1]
