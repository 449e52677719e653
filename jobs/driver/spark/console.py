"""Standard error under spark-submit.

spark-submit redirects the stderr of a Python driver into its own stdout, through a pipe. A program that reads stdout would
get log lines, and progress bars would not see a terminal. The JVM still has the real stderr, so the driver writes there.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import Any


class JvmStderr(io.TextIOBase):
    """The stderr of the JVM that started this Python; `isatty()` is true if the JVM has a console."""

    def __init__(self, jvm: Any):
        self._stream, self._has_console = jvm.java.lang.System.err, jvm.java.lang.System.console() is not None

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._stream.print(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._has_console


def use_real_stderr() -> None:
    """Replaces `sys.stderr` by the JVM's stderr under spark-submit; does nothing otherwise."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        return
    from pyspark import SparkContext

    SparkContext._ensure_initialized()
    sys.stderr = JvmStderr(SparkContext._gateway.jvm)


def log_to_stderr() -> None:
    """Sends log messages to standard error as `NAME: message`; of libraries only warnings and errors."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
