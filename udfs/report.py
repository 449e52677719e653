"""How workers tell the driver what they are doing: JSON lines over a socket, opened with a token."""

from __future__ import annotations

import json
import socket


class Reporter:
    """Sends events to the driver. Reports are for watching only: where the driver cannot be reached, training goes on."""

    def __init__(self, host: str, port: int, token: str):
        try:
            self._socket = socket.create_connection((host, port), timeout=10)
            self._socket.sendall(token.encode() + b"\n")
        except OSError:
            self._socket = None

    def send(self, event: dict) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendall(json.dumps(event).encode() + b"\n")
        except OSError:
            self._socket = None
