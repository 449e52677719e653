"""The checks of a Spark session: of the tests' own, and of JVMs that were started in another environment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from pyspark.errors import PySparkRuntimeError

from jobs.driver.environment.file_names import can_encode, require_unicode_file_names
from jobs.driver.environment.python_versions import PACKAGES, compared, explained, versions
from jobs.driver.environment.session_checks import session_checks, spark_check
from jobs.driver.spark.spark_home import write_configuration

OPEN = """
import sys
import conf
from jobs.driver.command import log_to_stderr
from jobs.driver.environment.file_names import file_name_encoding, require_unicode_file_names
from jobs.driver.spark.session import open_session
from udfs.errors import InputError
log_to_stderr()
try:
    spark = open_session("small", conf.load(None, ["storage.format=parquet"]))
    print(file_name_encoding(spark))
    require_unicode_file_names(spark, ["dog.jpg"])
    try:
        require_unicode_file_names(spark, ["dog.jpg", "ünï.jpg", "照片.jpg"])
    except InputError as error:
        print(error)
    open_session("small", conf.load(None, ["storage.format=parquet", "paths.warehouse=/tmp/été"]))
except InputError as error:
    print(error)
"""


def open_in(folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Opens a session in a process of its own, whose Spark is configured by the files in a folder."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYSPARK", "SPARK", "LC_", "LANG"))}
    environment = {**kept, "PYTHONPATH": str(ROOT), "SPARK_CONF_DIR": str(folder), **environment}
    return subprocess.run(
        [sys.executable, "-c", OPEN], env=environment, capture_output=True, text=True, timeout=120, encoding="utf-8"
    )


def test_the_session_is_in_order_and_that_is_known_quickly(spark):
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        checks = session_checks(spark)
        seconds.append(time.monotonic() - began)
    assert [str(check) for check in checks if check.verdict != "ok"] == []
    assert min(seconds) < 0.25


def test_another_spark_than_the_package_is_an_error(spark, monkeypatch):
    monkeypatch.setattr("pyspark.__version__", "3.5.1")
    assert spark_check(spark).verdict == "error"


@pytest.mark.parametrize(
    ("name", "encoding", "expected"),
    [
        ("dog.jpg", "ANSI_X3.4-1968", True),
        ("ünï.jpg", "ANSI_X3.4-1968", False),
        ("ünï.jpg", "ISO-8859-1", True),
        ("照片.jpg", "ISO-8859-1", False),
        ("照片.jpg", "UTF-8", True),
        ("照片.jpg", "no such encoding", False),
    ],
)
def test_an_encoding_holds_names_or_not(name, encoding, expected):
    assert can_encode(name, encoding) is expected


def test_any_name_is_accepted_where_names_are_unicode(spark):
    require_unicode_file_names(spark)
    require_unicode_file_names(spark, ["ünï.jpg", "照片.jpg"])


@pytest.mark.slow
def test_a_jvm_that_cannot_hold_names_is_a_warning_and_an_error_if_photos_have_such_names(tmp_path):
    done = open_in(tmp_path, LC_ALL="C")
    assert done.returncode == 0, done.stderr
    encoding, refusal, place = done.stdout.splitlines()
    assert encoding == "ANSI_X3.4-1968"
    assert refusal.startswith("LC_ALL: found the file name 'ünï.jpg' and 1 others, which Spark's JVM cannot open")
    assert refusal.endswith("LC_ALL=C.UTF-8 in its environment, on a cluster also in that of the executors")
    assert place.startswith("LC_ALL: found the file name '/tmp/été', which Spark's JVM cannot open")
    assert "small: LC_ALL: found ANSI_X3.4-1968 for file names in the JVM" in done.stderr


@pytest.mark.slow
def test_the_spark_of_make_setup_holds_all_names_in_cron_too(tmp_path):
    write_configuration(tmp_path, [])
    (tmp_path / "spark-defaults.conf").write_text("")  # Delta is not needed here
    done = open_in(tmp_path, LC_ALL="C")
    assert (done.stdout, done.returncode) == ("UTF-8\n", 0), done.stderr
    assert "LC_ALL" not in done.stderr


@pytest.mark.slow
def test_executors_with_another_python_are_named_before_any_task(tmp_path):
    """A Python that calls itself 3.12."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.version_info = (3, 12, 1, 'final', 0)\n")
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}:$PYTHONPATH exec {sys.executable} "$@"\n')
    other.chmod(0o755)
    done = open_in(tmp_path, LC_ALL="C.UTF-8", PYSPARK_PYTHON=str(other))
    assert done.stdout.startswith(f"spark.pyspark.python: found {other} with python 3.12 (the driver has 3.11)")
    assert "set spark.pyspark.python (or PYSPARK_PYTHON)" in done.stdout


def test_packages_that_differ_are_a_warning_and_missing_ones_an_error():
    here = versions()
    assert set(here) == {"python", *PACKAGES}
    assert compared("node", here).verdict == "ok"
    assert compared("node", {**here, "numpy": "1.0"}).verdict == "warning"
    assert compared("node", {**here, "keras": None}).verdict == "error"
    assert "keras missing" in str(compared("node", {**here, "keras": None}))


def test_sparks_own_report_of_another_python_becomes_an_input_error():
    versions = {"worker_version": "3.12", "driver_version": "3.11"}
    error = explained(PySparkRuntimeError(errorClass="PYTHON_VERSION_MISMATCH", messageParameters=versions))
    assert str(error).startswith("spark.pyspark.python: found Python 3.12 on the executors, expected 3.11")
    assert explained(ValueError("anything else")) is None
