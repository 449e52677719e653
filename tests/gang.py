"""A gang of real worker processes without Spark: what a barrier stage starts, for tests that stop and kill it at will."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from plans import with_changes

from udfs.engine import attempts, checkpoint
from udfs.engine.addresses import free_port, join_address
from udfs.engine.events import Event, Result, decode
from udfs.engine.plan import Member, Plan
from udfs.engine.supervisor import start_process
from udfs.run_folder import RunFolder


class Gang:
    """Processes of `python -m udfs.engine.worker` for one attempt at a plan; their events arrive in `events`, by rank."""

    def __init__(self, plan: Plan, workers: int, host: str = "127.0.0.1"):
        folder = RunFolder(plan.run_folder)
        self.attempt = attempts.begin(folder, attempts.newest(folder), {"host": "test"})
        addresses = [join_address(host, free_port()) for _ in range(workers)]
        self.logs = [tempfile.TemporaryFile("w+") for _ in addresses]  # noqa: SIM115
        self.events: list[list[Event | None]] = [[] for _ in addresses]  # None: the process ended
        self.changed = threading.Condition()
        self.processes = [
            start_process(plan.to_json(), Member(self.attempt, rank, addresses, 1, []), self.logs[rank])
            for rank in range(workers)
        ]
        self._threads = [threading.Thread(target=self._follow, args=(rank,), daemon=True) for rank in range(workers)]
        for thread in self._threads:
            thread.start()

    def _follow(self, rank: int) -> None:
        for line in self.processes[rank].stdout:
            with self.changed:
                self.events[rank].append(decode(line))
                self.changed.notify_all()
        with self.changed:
            self.events[rank].append(None)
            self.changed.notify_all()

    def wait_for(self, rank: int, kind: type[Event], timeout: float = 300) -> Event:
        """The first event of a kind; a worker that ends before fails the test with its last lines."""
        with self.changed:
            assert self.changed.wait_for(lambda: self._find(rank, kind), timeout), f"no {kind} in {timeout} s"
            (event,) = self._find(rank, kind)
        assert event is not None, self.log(rank)
        return event

    def _find(self, rank: int, kind: type[Event]) -> list[Event | None]:
        return [event for event in self.events[rank] if event is None or isinstance(event, kind)][:1]

    def log(self, rank: int) -> str:
        self.logs[rank].seek(0)
        return self.logs[rank].read()

    def results(self) -> list[dict]:
        return [self.wait_for(rank, Result).summary for rank in range(len(self.processes))]

    def __enter__(self) -> Gang:
        return self

    def __exit__(self, *_) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def train_to_the_end(plan: Plan, workers: int, host: str = "127.0.0.1") -> list[dict]:
    """Trains a plan with so many processes; the lines of its metrics.jsonl."""
    with Gang(plan, workers, host) as gang:
        gang.results()
    return history(plan)


def train_on_a_network_of_its_own(plan: Plan, workers: int) -> list[dict]:
    """The same in a network namespace whose loopback interface carries nothing but the gang's traffic.

    Skips the test where that needs rights that it does not have.
    """
    with ThreadPoolExecutor(1) as thread:  # a namespace is a thread's, and its children's
        return thread.submit(lambda: enter_new_network() or train_to_the_end(plan, workers)).result()


def enter_new_network() -> None:
    if os.geteuid() or sys.platform != "linux" or not shutil.which("ip"):
        pytest.skip("a network namespace needs Linux, root and iproute2")
    clone_newnet = 0x40000000
    if ctypes.CDLL(None, use_errno=True).unshare(clone_newnet):
        pytest.skip(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def history(plan: Plan) -> list[dict]:
    text = (path_of(plan) / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def final_weights(plan: Plan) -> list:
    """All variables of model and optimizer after the last epoch."""
    found = checkpoint.latest(RunFolder(plan.run_folder))
    assert found.progress.epoch == plan.epochs + 1
    return found.variables


def largest_relative_difference(plan: Plan, other: Plan) -> float:
    """Of any variable, a weight's difference relative to the weight; weights that are no more than rounding count as 0."""
    largest = 0.0
    for a, b in zip(final_weights(plan), final_weights(other), strict=True):
        a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
        scale = np.maximum(np.abs(a), 1e-12)
        largest = max(largest, float(np.max(np.abs(a - b) / scale, initial=0.0)))
    return largest


def path_of(plan: Plan) -> Path:
    return Path(plan.run_folder.removeprefix("file://"))


def in_folder(plan: Plan, folder: Path, **changes) -> Plan:
    return with_changes(plan, run_folder=f"file://{folder}", **changes)


def worker_processes(ancestor: int) -> list[psutil.Process]:
    """The living processes of workers below a process; a zombie has no command line."""
    found = []
    for process in psutil.Process(ancestor).children(recursive=True):
        try:
            if "udfs.engine.worker" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def stop(process: subprocess.Popen | psutil.Process) -> None:
    os.kill(process.pid, signal.SIGSTOP)


def go_on(process: subprocess.Popen | psutil.Process) -> None:
    os.kill(process.pid, signal.SIGCONT)
