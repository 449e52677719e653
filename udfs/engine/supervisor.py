"""What a barrier task does: it finds its place in the gang, starts the worker process, and watches over it.

The task and not the process holds the line to the driver, so that a worker which is stopped, stuck or dying still has
somebody who tells. The token of the line never reaches the process.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict

import psutil

from udfs.devices import task_gpus
from udfs.engine.driver_link import Line
from udfs.engine.plan import Member

LAST_LINES = 100
BEAT_SECONDS = 1.0


def run_member(plan_json: str, call: dict, attempt: int, cores: int, _: Iterator) -> Iterator[dict]:
    """Runs one worker inside a barrier task and yields its result.

    `call` is the driver's host, port and token. Raises RuntimeError with the worker's last lines where it fails.
    """
    from pyspark import BarrierTaskContext

    context = BarrierTaskContext.get()
    partition = context.partitionId()
    host = context.getTaskInfos()[partition].address.rsplit(":", 1)[0]
    places = [json.loads(place) for place in context.allGather(json.dumps([host, partition, free_port()]))]
    # Ranks follow hosts, so that neighbours on the ring of the all-reduce share a host where they can.
    ranked = sorted(places)
    rank = [place[1] for place in ranked].index(partition)
    member = Member(attempt, rank, [f"{host}:{port}" for host, _, port in ranked], cores, task_gpus())
    yield run_worker(plan_json, member, Line(**call, rank=rank), leave_together=context.barrier)


def free_port() -> int:
    """A port that is free now. Another process may take it before TensorFlow does; then the gang starts again."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def run_worker(plan_json: str, member: Member, line: Line, leave_together) -> dict:
    """Starts `python -m udfs.engine.worker`, passes its events on to the driver, and returns its result.

    `leave_together` returns when every member has its result. The process is ended when it fails, when the driver hangs up,
    and at the end in any case.
    """
    line.send({"kind": "placed", "address": member.addresses[member.rank]})
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        process = start_process(plan_json, member, log)
        line.send({"kind": "started", "pid": process.pid})
        threading.Thread(target=watch, args=(line, process), daemon=True).start()
        try:
            last = follow(process, line)
            if last["kind"] == "result":
                leave_together()
                return last["result"]
        finally:
            process.kill()
            code = process.wait()
        log.seek(0)
        failure = describe(last, code, member, log.readlines()[-LAST_LINES:])
    line.send(failure)
    raise RuntimeError(f"{failure['error']}; its last lines:\n{failure['lines']}")


def start_process(plan_json: str, member: Member, log) -> subprocess.Popen:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": str(member.cores),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "udfs.engine.worker"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
    )  # fmt: skip
    process.stdin.write(f"{plan_json}\n{json.dumps(asdict(member))}\n")
    process.stdin.flush()
    return process


def follow(process: subprocess.Popen, line: Line) -> dict:
    """Passes events on until the last one, which it returns; {"kind": "died"} where the process ends without one."""
    for text in process.stdout:
        if not text.endswith("\n"):
            break  # the process died in the middle of a line
        event = json.loads(text)
        if event["kind"] == "hopeless":
            return event
        if event["kind"] == "result":
            line.send({"kind": "finished"})
            return event
        line.send(event)
    process.wait()
    return {"kind": "died"}


def watch(line: Line, process: subprocess.Popen) -> None:
    """Beats every second with the process's state (running, sleeping, stopped, ...); kills it when the driver hangs up."""
    while process.poll() is None:
        try:
            line.send({"kind": "beat", "state": psutil.Process(process.pid).status()})
        except psutil.Error:
            continue
        if line.hung_up(BEAT_SECONDS):
            process.kill()
            return


def describe(last: dict, code: int, member: Member, lines: list[str]) -> dict:
    """The event that tells the driver of a failure, with the worker's last lines."""
    who = f"worker {member.rank} on {member.addresses[member.rank]}"
    if last["kind"] == "hopeless":
        error, why = last["error"], last["why"]
    elif code < 0:
        error, why = f"{who} was killed by {signal.Signals(-code).name}", "killed"
    else:
        error, why = f"{who} ended with exit code {code}", "crashed"
    return {"kind": "failed", "why": why, "error": error, "lines": "".join(lines)}
