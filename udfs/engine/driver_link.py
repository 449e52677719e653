"""The line from a barrier task to the driver: JSON events over a socket, opened with a token.

It carries heartbeats too, and its end is a message in both directions: a task whose driver hung up stops, and the driver
misses a task whose machine is gone.
"""

from __future__ import annotations

import json
import select
import socket
import threading

CONNECT_SECONDS = 20


class Line:
    """Raises OSError where the driver cannot be reached: a worker that nobody hears must not train."""

    def __init__(self, host: str, port: int, token: str, rank: int):
        self.rank, self._lock = rank, threading.Lock()
        self._socket = socket.create_connection((host, port), timeout=CONNECT_SECONDS)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._socket.sendall(token.encode() + b"\n")

    def send(self, event: dict) -> None:
        """Sends an event with this task's rank; one that can no longer be sent is dropped."""
        with self._lock:
            try:
                self._socket.sendall(json.dumps({"rank": self.rank, **event}).encode() + b"\n")
            except OSError:
                return

    def hung_up(self, wait: float) -> bool:
        """Whether the driver ended the line, after waiting for that so many seconds."""
        try:
            readable, _, _ = select.select([self._socket], [], [], wait)
            return bool(readable) and not self._socket.recv(1)
        except OSError:
            return True
