"""The connection from a Spark task to the driver: events as JSON lines over a socket, opened with a token.

Its end is a signal in both directions. A task whose driver closed the connection stops its worker, and fails unless the driver
said STOP before. The driver notices the loss of a task's machine.
"""

from __future__ import annotations

import select
import socket
import threading

from udfs.engine.addresses import bare_host
from udfs.engine.events import Event, encode

CONNECT_SECONDS = 20
STOP = b"s"
"""What the driver sends before it closes the connection to a task whose result it no longer wants."""


class DriverLink:
    """A task's connection to the driver.

    Args:
        host: The driver's host; an IPv6 address with or without brackets.
        port: The driver's port.
        token: The secret that the driver expects as the first line.

    Attributes:
        is_stopped: Whether the driver has said STOP.

    Raises:
        OSError: If the driver cannot be reached. A worker without a driver must not train.
    """

    def __init__(self, host: str, port: int, token: str):
        self._lock = threading.Lock()
        self.is_stopped = False
        self._socket = socket.create_connection((bare_host(host), port), timeout=CONNECT_SECONDS)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._socket.sendall(token.encode() + b"\n")

    def send(self, event: Event) -> None:
        """Sends an event, or drops it if the connection is broken."""
        with self._lock:
            try:
                self._socket.sendall(encode(event).encode() + b"\n")
            except OSError:
                return

    def is_closed(self, wait: float) -> bool:
        """Whether the driver has closed the connection or said STOP; waits for that for so many seconds."""
        try:
            readable, _, _ = select.select([self._socket], [], [], wait)
            self.is_stopped = self.is_stopped or (bool(readable) and self._socket.recv(1) == STOP)
            return bool(readable)
        except OSError:
            return True
