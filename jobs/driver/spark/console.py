"""The terminal of whoever called spark-submit.

spark-submit joins a Python driver's stderr to its stdout, through a pipe, so that neither a caller who reads stdout nor a
progress bar gets what it expects. The JVM still has the real stderr.
"""

from __future__ import annotations

import io
import os
import sys


class JvmStderr(io.TextIOBase):
    """Standard error of the JVM that started this Python; a terminal where the JVM has a console."""

    def __init__(self, jvm):
        self._stream, self._console = jvm.java.lang.System.err, jvm.java.lang.System.console() is not None

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._stream.print(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._console


def use_real_stderr() -> None:
    """Makes `sys.stderr` what it should be under spark-submit; changes nothing elsewhere."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        return
    from pyspark import SparkContext

    SparkContext._ensure_initialized()
    sys.stderr = JvmStderr(SparkContext._gateway.jvm)
