"""The driver's ear: a socket on which the members of a gang report."""

from __future__ import annotations

import json
import secrets
import socket
import socketserver
import threading
import time
from collections.abc import Callable

from pyspark.sql import SparkSession


class ReportServer:
    """Hears the members' JSON lines while it is open. A wrong token is hung up on.

    `receive` gets each event, `lost` the rank of a member whose line broke; never two at a time. `call` is what a member
    needs to call.
    """

    def __init__(self, spark: SparkSession, receive: Callable[[dict], None], lost: Callable[[int], None]):
        token, self._lock, self._lines = secrets.token_hex(16), threading.Lock(), set()
        self._is_over = False
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                if not secrets.compare_digest(self.rfile.readline(100).strip(), token.encode()):
                    return
                server._hear(self.connection, self.rfile, receive, lost)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads, allow_reuse_address = True, True

        self._server = Server(("", 0), Handler)
        host = spark.conf.get("spark.driver.host", socket.gethostname())
        self.call = {"host": host, "port": self._server.server_address[1], "token": token}

    def _hear(self, connection, lines, receive, lost) -> None:
        rank = None
        self._lines.add(connection)
        if self._is_over:  # a member that calls after the others were hung up on
            self.hang_up()
        try:
            for line in lines:
                event = json.loads(line)
                rank = event["rank"]
                with self._lock:
                    receive(event)
        except (OSError, ValueError):  # a line that broke, maybe in the middle of an event
            pass
        finally:
            self._lines.discard(connection)
            if rank is not None:
                with self._lock:
                    lost(rank)

    def hang_up(self) -> None:
        """Ends every line from this side, which makes the members kill their workers, tell their last lines and fail."""
        self._is_over = True
        for connection in list(self._lines):
            try:
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                continue

    def wait_for_last_words(self, seconds: float) -> None:
        """Waits until every member has ended its line too."""
        deadline = time.monotonic() + seconds
        while self._lines and time.monotonic() < deadline:
            time.sleep(0.05)

    def __enter__(self) -> ReportServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.hang_up()
        self._server.shutdown()
        self._server.server_close()
