"""A driver's hold on a run folder, so that two drivers never train the same run at once.

The newest attempt holds the run. Its driver beats into `attempts/beat.json`; a driver that finds no fresh beat, a released
run, or a holder that died on this host goes on from the last checkpoint under the next attempt.
"""

from __future__ import annotations

import json
import socket
import threading
import time

import psutil

from jobs.driver.runs.registry import read_json
from udfs.engine import attempts
from udfs.errors import InputError


class Lease:
    """Held while open. `timeout`: seconds without a beat after which a holder counts as gone. Clocks must agree by less.

    Raises InputError that names the holder where another driver has the run; `take_over` takes it all the same.
    """

    def __init__(self, folder: str, timeout: float, take_over: bool):
        self.folder, self.timeout = folder, timeout
        current = attempts.newest(folder)
        holder = self._holder(current)
        if holder and not take_over:
            raise InputError(
                f"run.id: {folder} is held by attempt {current} of process {holder['pid']} on {holder['host']} since "
                f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(holder['time']))} UTC; wait for it, choose another run.id, or "
                "set recovery.take_over=true to take the run from it"
            )
        self.attempt = current
        self.begin_attempt()

    def begin_attempt(self) -> int:
        """Starts the next attempt; what older ones still want to write is refused from now on."""
        try:
            self.attempt = attempts.begin(self.folder, self.attempt, _me())
        except attempts.Superseded as error:
            raise InputError(f"run.id: {error}; choose another run.id, or wait for it") from error
        return self.attempt

    def __enter__(self) -> Lease:
        self._over = threading.Event()
        self._beat()
        self._thread = threading.Thread(target=self._keep_beating, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self._thread.join()
        self._beat(released=True)

    def require_held(self) -> None:
        """Raises InputError where another driver took the run."""
        try:
            attempts.RunWriter(self.folder, self.attempt).require_newest()
        except attempts.Superseded as error:
            raise InputError(f"run.id: {error}; its driver goes on with the run") from error

    def _keep_beating(self) -> None:
        while not self._over.wait(self.timeout / 6):
            self._beat()

    def _beat(self, released: bool = False) -> None:
        beat = {"attempt": self.attempt, "time": time.time(), "released": released}
        writer = attempts.RunWriter(self.folder, self.attempt)
        try:
            writer.write_text("attempts/beat.json", json.dumps(beat))
        except (attempts.Superseded, OSError):
            return  # the workers' own writes are refused too; a store that is away for a moment may come back

    def _holder(self, current: int) -> dict | None:
        """Who holds the run, or None where nobody does."""
        if not current:
            return None
        holder = attempts.read(self.folder, current)
        beat = read_json(f"{self.folder}/attempts/beat.json") or {}
        beat = beat if beat.get("attempt") == current else {}
        gone = time.time() - max(holder["time"], beat.get("time", 0)) > self.timeout
        return None if beat.get("released") or gone or _died_here(holder) else holder


def _me() -> dict:
    process = psutil.Process()
    return {
        "host": socket.gethostname(),
        "pid": process.pid,
        "process_started": process.create_time(),
        "time": time.time(),
    }


def _died_here(holder: dict) -> bool:
    """Whether the holder was a process of this host that is no more."""
    if holder["host"] != socket.gethostname():
        return False
    try:
        process = psutil.Process(holder["pid"])
        another = abs(process.create_time() - holder["process_started"]) > 1
        return another or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
