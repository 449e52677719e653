"""What a barrier task does: it finds its place in the gang and runs the worker process to its end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict

from udfs.devices import task_gpus
from udfs.plan import Member

LAST_LINES = 100


def run_member(plan_json: str, report: dict, cores: int, _: Iterator) -> Iterator[dict]:
    """Runs one worker inside a barrier task and yields its result.

    Raises RuntimeError with the worker's last lines where it fails.
    """
    from pyspark import BarrierTaskContext

    context = BarrierTaskContext.get()
    rank = context.partitionId()
    host = context.getTaskInfos()[rank].address.rsplit(":", 1)[0]
    addresses = context.allGather(f"{host}:{free_port()}")
    member = Member(rank, addresses, cores, task_gpus())
    yield run_worker(plan_json, member, report)
    context.barrier()  # workers leave together


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def run_worker(plan_json: str, member: Member, report: dict) -> dict:
    """Starts `python -m udfs.worker`, feeds it, and returns the result that it prints."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": str(member.cores),
    }
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "udfs.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )
        try:
            process.stdin.write(f"{plan_json}\n{json.dumps(asdict(member))}\n{json.dumps(report)}\n")
            process.stdin.flush()
            output = process.stdout.read()
            code = process.wait()
        finally:
            process.kill()
        if code or not output.strip():
            log.seek(0)
            tail = "".join(log.readlines()[-LAST_LINES:])
            where = member.addresses[member.rank]
            raise RuntimeError(f"worker {member.rank} on {where} ended with exit code {code}; its last lines:\n{tail}")
    return json.loads(output)
