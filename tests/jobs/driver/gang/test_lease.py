import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from jobs.driver.gang.lease import Lease
from udfs.engine import attempts
from udfs.errors import InputError
from udfs.run_folder import RunFolder


def begun_by(folder, **changes) -> None:
    """The first attempt at a run, by a living process of this host unless changed."""
    me = psutil.Process()
    who = {"host": os.uname().nodename, "pid": me.pid, "process_started": me.create_time(), "time": time.time()}
    attempts.begin(RunFolder(str(folder)), 0, {**who, **changes})


def test_a_run_is_held_until_it_is_released(tmp_path):
    with Lease(RunFolder(str(tmp_path)), 60, False) as first:
        assert first.attempt == 1
        with pytest.raises(InputError, match=rf"held by attempt 1 of process {os.getpid()} on .*recovery.take_over"):
            Lease(RunFolder(str(tmp_path)), 60, False)
        assert first.begin_attempt() == 2
        first.require_held()
    with Lease(RunFolder(str(tmp_path)), 60, False) as second:
        assert second.attempt == 3


def test_a_holder_that_was_not_seen_for_long_is_gone(tmp_path):
    begun_by(tmp_path, host="elsewhere", time=time.time() - 61)
    with Lease(RunFolder(str(tmp_path)), 60, False) as lease:
        assert lease.attempt == 2


def test_beats_keep_a_run_held(tmp_path):
    begun_by(tmp_path, host="elsewhere", time=time.time() - 61)
    (tmp_path / "attempts" / "beat.json").write_text(json.dumps({"attempt": 1, "time": time.time(), "released": False}))
    with pytest.raises(InputError, match="on elsewhere"):
        Lease(RunFolder(str(tmp_path)), 60, False)


def test_a_living_driver_beats(tmp_path):
    with Lease(RunFolder(str(tmp_path)), 0.3, False):
        time.sleep(1)
        with pytest.raises(InputError, match="held by"):
            Lease(RunFolder(str(tmp_path)), 0.3, False)


def test_a_holder_that_died_on_this_host_is_gone_at_once(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    begun_by(tmp_path, pid=process.pid)
    with Lease(RunFolder(str(tmp_path)), 60, False) as lease:
        assert lease.attempt == 2


def test_another_process_under_the_holders_number_is_not_the_holder(tmp_path):
    begun_by(tmp_path, process_started=psutil.Process().create_time() - 100)
    with Lease(RunFolder(str(tmp_path)), 60, False) as lease:
        assert lease.attempt == 2


def test_a_run_that_was_taken_over_is_no_longer_held(tmp_path):
    with (
        Lease(RunFolder(str(tmp_path)), 60, False) as first,
        Lease(RunFolder(str(tmp_path)), 60, take_over=True) as second,
    ):
        assert second.attempt == 2
        second.require_held()
        with pytest.raises(InputError, match="attempt 2 holds the run"):
            first.require_held()
        with pytest.raises(InputError, match=r"attempt 2 .* was started by"):
            first.begin_attempt()
