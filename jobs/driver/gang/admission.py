"""Lets those into a listening socket who present a token, and holds strangers off at a bounded cost."""

from __future__ import annotations

import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

MOST_WAITING = 128
TOKEN_SECONDS = 10.0
POLL_SECONDS = 0.5


@dataclass
class Arrival:
    """A connection that has not presented the token yet: when it is closed, and what it has sent."""

    deadline: float
    received: bytes = b""


class Admission:
    """Reads the first line of each connection, and passes the connection on if the line is the token.

    One thread serves all connections, so that a stranger costs one file descriptor and a few bytes. A connection is closed
    when its first line is wrong or too long, when the line is not complete after `TOKEN_SECONDS`, or when `MOST_WAITING`
    newer ones wait: a member sends its token at once, so it is not among those that wait for long.

    Args:
        listener: A listening socket, which is closed with this object.
        token: The expected line, without the line break.
        admit: Called with each admitted connection, from which only the token was read. It must not block.
    """

    def __init__(self, listener: socket.socket, token: str, admit: Callable[[socket.socket], None]):
        self._listener, self._line, self._admit = listener, token.encode() + b"\n", admit
        self._waiting: dict[socket.socket, Arrival] = {}  # the oldest first
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def waiting(self) -> int:
        """The number of connections that have not presented the token yet."""
        return len(self._waiting)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Closes the listening socket and all connections that were not admitted."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        for connection in [self._listener, *self._waiting]:
            connection.close()

    def _serve(self) -> None:
        self._listener.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._ended.is_set():
                for key, _ in selector.select(POLL_SECONDS):
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    elif key.fileobj in self._waiting:
                        self._read(selector, key.fileobj)
                for connection in self._overdue():
                    self._forget(selector, connection).close()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # the stranger has left, or no file descriptor is free
            time.sleep(0.01)
            return
        connection.setblocking(False)
        self._waiting[connection] = Arrival(time.monotonic() + TOKEN_SECONDS)
        selector.register(connection, selectors.EVENT_READ)

    def _read(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        arrival = self._waiting[connection]
        try:
            # Never more than the line of the token, so that what follows it is left to `admit`.
            part = connection.recv(len(self._line) - len(arrival.received))
        except BlockingIOError:
            return
        except OSError:
            part = b""
        arrival.received += part
        if part and b"\n" not in part and len(arrival.received) < len(self._line):
            return
        self._forget(selector, connection)
        if secrets.compare_digest(arrival.received, self._line):
            connection.setblocking(True)
            self._admit(connection)
        else:
            connection.close()

    def _overdue(self) -> list[socket.socket]:
        now, surplus = time.monotonic(), len(self._waiting) - MOST_WAITING
        return [
            connection
            for number, (connection, arrival) in enumerate(self._waiting.items())
            if number < surplus or arrival.deadline < now
        ]

    def _forget(self, selector: selectors.BaseSelector, connection: socket.socket) -> socket.socket:
        selector.unregister(connection)
        del self._waiting[connection]
        return connection
