"""The driver's ear: a socket on which the workers of a gang report, and what is shown of it."""

from __future__ import annotations

import json
import secrets
import socket
import socketserver
import sys
import threading
from collections.abc import Callable

from pyspark.sql import SparkSession
from tqdm import tqdm


class ReportServer:
    """Receives the workers' JSON lines while it is open, and hands each event on. A wrong token is hung up on.

    `address` (host, port, token) is what a worker's Reporter takes.
    """

    def __init__(self, spark: SparkSession, receive: Callable[[dict], None]):
        token, lock = secrets.token_hex(16), threading.Lock()

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                if not secrets.compare_digest(self.rfile.readline(100).strip(), token.encode()):
                    return
                for line in self.rfile:
                    with lock:
                        receive(json.loads(line))

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads, allow_reuse_address = True, True

        self._server = Server(("", 0), Handler)
        host = spark.conf.get("spark.driver.host", socket.gethostname())
        self.address = {"host": host, "port": self._server.server_address[1], "token": token}

    def __enter__(self) -> ReportServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()


class TrainingView:
    """Shows a training run: a bar on a terminal, and one line an epoch everywhere."""

    def __init__(self, epochs: int):
        self.epochs, self.bar = epochs, None

    def __call__(self, event: dict) -> None:
        if event["rank"] != 0:
            return
        if event["kind"] == "step":
            self._step(event)
        else:
            self._epoch(event)

    def _step(self, event: dict) -> None:
        if self.bar is None:
            self.bar = tqdm(total=event["steps"], unit="step", leave=False, disable=None)
        self.bar.set_description(f"epoch {event['epoch']}/{self.epochs}")
        self.bar.set_postfix(loss=f"{event['loss']:.3f}")
        self.bar.update(event["step"] - self.bar.n)

    def _epoch(self, event: dict) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        print(
            f"epoch {event['epoch']}/{self.epochs}  loss {event['loss']:.4f}  accuracy {event['accuracy']:.3f}  "
            f"val_loss {event['val_loss']:.4f}  val_accuracy {event['val_accuracy']:.3f}  "
            f"{event['captions_per_second']:.0f} captions/s  {event['seconds']:.1f} s",
            file=sys.stderr,
            flush=True,
        )
