"""The socket on which the driver receives the events of a gang's members."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from jobs.driver.gang.admission import Admission
from udfs.engine.addresses import bare_host, listening_socket
from udfs.engine.events import Event, decode


class EventServer:
    """Receives the members' events while it is open. Closes connections that present a wrong token.

    Args:
        host: The driver's host, as the members reach it.
        receive: Called with each event.
        lost: Called with the rank of a member whose connection has ended. Calls of both never overlap.

    Attributes:
        address: Host, port and token, as a member's `DriverLink` takes them.
    """

    def __init__(self, host: str, receive: Callable[[Event], None], lost: Callable[[int], None]):
        token = secrets.token_hex(16)
        self._receive, self._lost = receive, lost
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._is_closed, self._last_message = False, b""
        listener = listening_socket(backlog=1024)
        self._admission = Admission(listener, token, self._admit)
        self.address: dict[str, Any] = {"host": bare_host(host), "port": listener.getsockname()[1], "token": token}

    def _admit(self, connection: socket.socket) -> None:
        threading.Thread(target=self._read_events, args=(connection,), daemon=True).start()

    def _read_events(self, connection: socket.socket) -> None:
        rank = None
        self._connections.add(connection)
        if self._is_closed:  # a member that connects after the others were disconnected
            self.disconnect()
        try:
            with connection, connection.makefile("rb") as lines:
                for line in lines:
                    event = decode(line)
                    rank = event.rank
                    with self._lock:
                        self._receive(event)
        except (OSError, ValueError):  # the connection broke, possibly within an event
            pass
        finally:
            self._connections.discard(connection)
            if rank is not None:
                with self._lock:
                    self._lost(rank)

    def disconnect(self, last_message: bytes = b"") -> None:
        """Closes every connection from this side. The members then kill their workers, send their last events, and fail.

        Args:
            last_message: STOP makes them leave without failing.
        """
        self._is_closed, self._last_message = True, self._last_message or last_message
        for connection in list(self._connections):
            try:
                connection.sendall(self._last_message)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                continue

    def wait_for_last_events(self, seconds: float) -> None:
        """Waits until every member has closed its connection too, at most so many seconds."""
        deadline = time.monotonic() + seconds
        while self._connections and time.monotonic() < deadline:
            time.sleep(0.05)

    def __enter__(self) -> EventServer:
        self._admission.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.disconnect()
        self._admission.close()
