"""The socket on which the driver receives the events of a gang's members."""

from __future__ import annotations

import secrets
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from pyspark.sql import SparkSession

from udfs.engine.events import Event, decode

TOKEN_BYTES = 100  # the longest first line that is read


class EventServer:
    """Receives the members' events while it is open. Closes connections that present a wrong token.

    Args:
        receive: Called with each event.
        lost: Called with the rank of a member whose connection has ended. Calls of both never overlap.

    Attributes:
        address: Host, port and token, as a member's `DriverLink` takes them.
    """

    def __init__(self, spark: SparkSession, receive: Callable[[Event], None], lost: Callable[[int], None]):
        token = secrets.token_hex(16)
        self._receive, self._lost = receive, lost
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._is_closed = False
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                if secrets.compare_digest(self.rfile.readline(TOKEN_BYTES).strip(), token.encode()):
                    server._read_events(self.connection, self.rfile)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads, allow_reuse_address = True, True

        self._server = Server(("", 0), Handler)
        host = spark.conf.get("spark.driver.host", socket.gethostname())
        self.address: dict[str, Any] = {"host": host, "port": self._server.server_address[1], "token": token}

    def _read_events(self, connection: socket.socket, lines: Iterable[bytes]) -> None:
        rank = None
        self._connections.add(connection)
        if self._is_closed:  # a member that connects after the others were disconnected
            self.disconnect()
        try:
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

    def disconnect(self) -> None:
        """Closes every connection from this side. The members then kill their workers, send their last events, and fail."""
        self._is_closed = True
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                continue

    def wait_for_last_events(self, seconds: float) -> None:
        """Waits until every member has closed its connection too, at most so many seconds."""
        deadline = time.monotonic() + seconds
        while self._connections and time.monotonic() < deadline:
            time.sleep(0.05)

    def __enter__(self) -> EventServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.disconnect()
        self._server.shutdown()
        self._server.server_close()
