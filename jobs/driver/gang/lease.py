"""A driver's lease on a run folder, so that two drivers never train the same run at once.

The newest attempt holds the run. Its driver writes a heartbeat into the run folder. Another driver may resume the run, under the
next attempt, if the heartbeat is old, if the run was released, or if the holder was a process of this host that has ended.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from types import TracebackType
from typing import Any

import psutil

from jobs.driver.runs.registry import read_json
from udfs.engine import attempts
from udfs.errors import InputError
from udfs.run_folder import RunFolder


class Lease:
    """Holds a run while it is open.

    Args:
        folder: The run's folder.
        timeout: Seconds without a heartbeat after which a holder counts as gone. The hosts' clocks must agree more closely.
        take_over: Take the run from another holder.
        key: The configuration key that names the run, for messages. A sweep's folder is held in the same way.

    Attributes:
        attempt: The number of the attempt that holds the run.

    Raises:
        InputError: If another driver holds the run; the message names it.
    """

    def __init__(self, folder: RunFolder, timeout: float, take_over: bool, key: str = "run.id"):
        self.folder, self.timeout, self.key = folder, timeout, key
        current = attempts.newest(folder)
        holder = self._holder(current)
        if holder and not take_over:
            raise InputError(
                f"{key}: {folder.uri} is held by attempt {current} of process {holder['pid']} on {holder['host']} since "
                f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(holder['time']))} UTC; wait for it, choose another {key}, or "
                "set recovery.take_over=true to take it over"
            )
        self.attempt = current
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._send_heartbeats, daemon=True)
        self.begin_attempt()

    def begin_attempt(self) -> int:
        """Starts the next attempt and returns its number. From then on, writes of older attempts are refused."""
        try:
            self.attempt = attempts.begin(self.folder, self.attempt, _this_process())
        except attempts.Superseded as error:
            raise InputError(f"{self.key}: {error}; choose another {self.key}, or wait for it") from error
        return self.attempt

    def __enter__(self) -> Lease:
        self._write_heartbeat()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._released.set()
        self._thread.join()
        self._write_heartbeat(released=True)

    def require_held(self) -> None:
        """Raises InputError if another driver has taken the run."""
        try:
            attempts.RunWriter(self.folder, self.attempt).require_newest()
        except attempts.Superseded as error:
            raise InputError(f"{self.key}: {error}; its driver continues the run") from error

    def _send_heartbeats(self) -> None:
        while not self._released.wait(self.timeout / 6):
            self._write_heartbeat()

    def _write_heartbeat(self, released: bool = False) -> None:
        heartbeat = {"attempt": self.attempt, "time": time.time(), "released": released}
        writer = attempts.RunWriter(self.folder, self.attempt)
        try:
            writer.write_text(self.folder.heartbeat, json.dumps(heartbeat))
        except (attempts.Superseded, OSError):
            return  # the workers' writes are refused too; a store that is unavailable for a moment may recover

    def _holder(self, current: int) -> dict[str, Any] | None:
        """The holder of the run, or None if there is none."""
        if not current:
            return None
        holder = attempts.read(self.folder, current)
        heartbeat = read_json(self.folder.heartbeat) or {}
        heartbeat = heartbeat if heartbeat.get("attempt") == current else {}
        is_gone = time.time() - max(holder["time"], heartbeat.get("time", 0)) > self.timeout
        return None if heartbeat.get("released") or is_gone or _ended_here(holder) else holder


def _this_process() -> dict[str, Any]:
    process = psutil.Process()
    return {
        "host": socket.gethostname(),
        "pid": process.pid,
        "process_started": process.create_time(),
        "time": time.time(),
    }


def _ended_here(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this host that has ended."""
    if holder["host"] != socket.gethostname():
        return False
    try:
        process = psutil.Process(holder["pid"])
        is_another = abs(process.create_time() - holder["process_started"]) > 1
        return bool(is_another or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
