"""A gang in a Spark session whose only address is IPv6, behind a proxy: as in the offices where that is what there is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
from pathlib import Path

import conf
from gang import history
from plans import with_changes
from pyspark.sql import SparkSession
from regression_plan import regression_plan
from jobs.driver.gang.launcher import run_gang
from jobs.driver.gang.lease import Lease
from jobs.driver.gang.preflight import require_members
from udfs.engine.events import Placed
from udfs.run_folder import RunFolder

folder = Path(sys.argv[1])
spark = (
    SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1").getOrCreate()
)
plan = with_changes(regression_plan(folder, epochs=2), run_folder=f"file://{folder}/run")
settings = conf.load(None, ["train.workers=2", "recovery.max_restarts=0"])
placed = []
with Lease(RunFolder(plan.run_folder), 60, False) as lease:
    require_members(spark, 2, RunFolder(plan.run_folder), lease.attempt, 1)
    run_gang(spark, plan, settings, lease, lambda event: placed.append(event) if isinstance(event, Placed) else None)
print(spark.conf.get("spark.driver.host"), *sorted(event.address.rpartition(":")[0] for event in placed))
print(len(history(plan)))
"""


@pytest.mark.timeout(180)
def test_a_session_on_ipv6_trains(tmp_path):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    helpers = [ROOT, ROOT / "tests", ROOT / "tests" / "udfs" / "engine"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, helpers)),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "::1",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[0:0:0:0:0:0:0:1] [::1] [::1]", "2"]
