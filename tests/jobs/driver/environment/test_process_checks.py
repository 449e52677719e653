"""The checks of a process, without Spark. What cannot be had here, such as a full disk, is a threshold that nothing meets."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from jobs.driver.environment import process_checks as checks


def test_this_environment_is_in_order_and_that_is_known_quickly():
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        found = checks.process_checks()
        seconds.append(time.monotonic() - began)
    assert [str(check) for check in found if check.verdict != "ok"] == []
    assert min(seconds) < 0.25


def test_another_python_is_an_error(monkeypatch):
    monkeypatch.setattr(checks, "PYTHON", (3, 12))
    assert checks.python_check().verdict == "error"


def test_packages_are_compared_with_the_projects_metadata(monkeypatch):
    monkeypatch.setattr(checks, "requires", lambda name: ["numpy>=99", "no-such-package", 'none; extra == "gpu"'])
    check = checks.packages_check()
    assert (check.verdict, check.found) == ("error", "no no-such-package")
    monkeypatch.setattr(checks, "requires", lambda name: ["numpy>=99", "keras"])
    check = checks.packages_check()
    assert check.verdict == "warning"
    assert check.found.endswith(" instead of >=99")


@pytest.mark.parametrize(("locale", "verdict"), [("C.UTF-8", "ok"), ("C", "ok"), ("POSIX", "ok")])
def test_python_itself_holds_all_names_in_cron_too(locale, verdict):
    code = "from jobs.driver.environment.process_checks import encoding_check as c; print(c().verdict)"
    environment = {**os.environ, "LC_ALL": locale, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == verdict, done.stderr


def test_an_encoding_that_cannot_hold_all_names_is_a_warning():
    code = "from jobs.driver.environment.process_checks import encoding_check as c; print(c())"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("encoding of Python: found ascii for file names"), done.stderr
    assert "; set LC_ALL=C.UTF-8" in done.stdout


def test_what_keras_is_configured_for_is_shown(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert checks.keras_check().found == "tensorflow, channels_last"
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "jax", "image_data_format": "channels_first"}))
    assert checks.keras_check().found == "jax, channels_first; jobs use tensorflow, channels_last"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert checks.keras_check().found.startswith("torch, ")
    (tmp_path / "keras.json").write_text("no JSON")
    assert checks.keras_check().verdict == "ok"


def test_proxies_are_shown_without_passwords(monkeypatch):
    for name in checks.PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert checks.proxy_check().found == "none"
    monkeypatch.setenv("https_proxy", "http://ann:s3cret@proxy.example:8080")
    monkeypatch.setenv("HTTP_PROXY", "ann:s3cret@proxy.example:8080")
    found = checks.proxy_check().found
    assert "https_proxy=http://proxy.example:8080" in found
    assert "HTTP_PROXY=proxy.example:8080" in found
    assert "s3cret" not in found
    assert "ann" not in found


def test_scratch_folders_are_those_that_spark_takes(monkeypatch):
    monkeypatch.delenv("SPARK_LOCAL_DIRS", raising=False)
    assert checks.scratch_folders("/a, /b") == ["/a", "/b"]
    monkeypatch.setenv("SPARK_LOCAL_DIRS", "/c,/d")
    assert checks.scratch_folders("/a") == ["/c", "/d"]


def test_a_scratch_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    check = checks.scratch_check(str(tmp_path / "file" / "scratch"))
    assert (check.name, check.verdict) == ("SPARK_LOCAL_DIRS", "error")
    assert "cannot be written" in check.found
    assert checks.scratch_check(str(tmp_path / "new" / "folder")).verdict == "ok"


def test_a_disk_without_room_is_a_warning_and_a_full_one_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(checks, "FREE_BYTES", 2**60)
    assert checks.scratch_check(str(tmp_path)).verdict == "warning"
    monkeypatch.setattr(checks, "LEAST_FREE_BYTES", 2**60)
    assert checks.scratch_check(str(tmp_path)).verdict == "error"


def test_a_low_limit_of_open_files_is_a_warning():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        check = checks.open_files_check()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert (check.verdict, check.found) == ("warning", "512")
