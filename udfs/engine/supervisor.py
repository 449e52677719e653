"""The Spark task around one worker: it places the worker in the gang, starts its process, and watches it.

The task and not the process holds the connection to the driver. So a worker that is stopped, stuck or dying is still
reported. The token of that connection never reaches the worker process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import IO, Any

import psutil

from udfs.devices import task_gpus
from udfs.engine.addresses import free_port, host_of, join_address, without_proxy
from udfs.engine.driver_link import DriverLink
from udfs.engine.events import Event, Failed, Finished, Heartbeat, NonRetryable, Placed, Result, Started, decode
from udfs.engine.plan import Member

LAST_LINES = 100
HEARTBEAT_SECONDS = 1.0


def run_member(
    plan_json: str, driver: dict[str, Any], attempt: int, cores: int, _: Iterator[Any]
) -> Iterator[dict[str, Any]]:
    """Runs one worker inside a barrier task and yields its summary.

    Args:
        plan_json: The plan as JSON.
        driver: Host, port and token of the driver's event server.
        attempt: The number of the attempt.
        cores: Threads that the worker may use.

    Raises:
        RuntimeError: If the worker fails; the message ends with its last log lines.
    """
    from pyspark import BarrierTaskContext

    context = BarrierTaskContext.get()
    partition = context.partitionId()
    host = host_of(context.getTaskInfos()[partition].address)
    places = [json.loads(place) for place in context.allGather(json.dumps([host, partition, free_port()]))]
    # Ranks follow hosts, so that neighbours in the ring of the all-reduce share a host if possible.
    ranked = sorted(places)
    rank = [place[1] for place in ranked].index(partition)
    member = Member(attempt, rank, [join_address(host, port) for host, _, port in ranked], cores, task_gpus())
    yield run_worker(plan_json, member, DriverLink(**driver), leave_together=context.barrier)


def run_worker(
    plan_json: str, member: Member, link: DriverLink, leave_together: Callable[[], object]
) -> dict[str, Any]:
    """Starts `python -m udfs.engine.worker`, forwards its events to the driver, and returns its summary.

    The process is killed when it fails, when the driver closes the connection, and at the end in any case.

    Args:
        leave_together: Returns when every member has its result.

    Returns:
        The summary; empty if the driver stopped the gang.

    Raises:
        RuntimeError: If the worker fails.
    """
    link.send(Placed(member.rank, member.addresses[member.rank]))
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        process = start_process(plan_json, member, log)
        link.send(Started(member.rank, process.pid))
        threading.Thread(target=send_heartbeats, args=(link, member.rank, process), daemon=True).start()
        try:
            last = forward_events(process, link)
            if isinstance(last, Result):
                leave_together()
                return last.summary
        finally:
            process.kill()
            code = process.wait()
        if link.is_stopped:
            return {}
        log.seek(0)
        failure = failure_of(last, code, member, log.readlines()[-LAST_LINES:])
    link.send(failure)
    raise RuntimeError(f"{failure.error}; its last lines:\n{failure.lines}")


def start_process(plan_json: str, member: Member, log: IO[str]) -> subprocess.Popen[str]:
    """Starts the worker process; it reads the plan and its place from standard input."""
    environment = {
        **os.environ,
        **without_proxy(member.addresses),
        "KERAS_BACKEND": "tensorflow",  # a task's module may import Keras before the engine does
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": str(member.cores),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "udfs.engine.worker"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(f"{plan_json}\n{json.dumps(asdict(member))}\n")
    process.stdin.flush()
    return process


def forward_events(process: subprocess.Popen[str], link: DriverLink) -> Event | None:
    """Forwards a worker's events until its last one, which is returned; None if the process ends without one."""
    assert process.stdout is not None
    for line in process.stdout:
        if not line.endswith("\n"):
            break  # the process died while it wrote the line
        event = decode(line)
        if isinstance(event, NonRetryable):
            return event
        if isinstance(event, Result):
            link.send(Finished(event.rank))
            return event
        link.send(event)
    process.wait()
    return None


def send_heartbeats(link: DriverLink, rank: int, process: subprocess.Popen[str]) -> None:
    """Sends a heartbeat with the process's state every second, and kills the process if the driver closes the link."""
    while process.poll() is None:
        try:
            link.send(Heartbeat(rank, psutil.Process(process.pid).status()))
        except psutil.Error:
            continue
        if link.is_closed(HEARTBEAT_SECONDS):
            process.kill()
            return


def failure_of(last: Event | None, code: int, member: Member, lines: list[str]) -> Failed:
    """The event that reports a worker's failure, from its last event, exit code and log lines."""
    worker, text = f"worker {member.rank} on {member.addresses[member.rank]}", "".join(lines)
    if isinstance(last, NonRetryable):
        return Failed(member.rank, last.why, last.error, text)
    if code < 0:
        return Failed(member.rank, "killed", f"{worker} was killed by {signal.Signals(-code).name}", text)
    return Failed(member.rank, "crashed", f"{worker} ended with exit code {code}", text)
