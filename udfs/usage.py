"""What a worker uses of its machine, by psutil."""

from __future__ import annotations

import time

import psutil

MEBIBYTE = 2**20


class Usage:
    """Counts from its creation on. Network bytes are those of the whole host, over all its interfaces."""

    FIELDS = ("cpu_cores", "memory_mb", "sent_mb", "received_mb")

    def __init__(self):
        self._process = psutil.Process()
        self._began, self._cpu, self._network = time.monotonic(), self._cpu_seconds(), psutil.net_io_counters()

    def row(self) -> list[float]:
        """FIELDS: cores in use on average, resident MiB now, MiB sent and received."""
        network = psutil.net_io_counters()
        cpu = (self._cpu_seconds() - self._cpu) / max(time.monotonic() - self._began, 1e-9)
        traffic = [network.bytes_sent - self._network.bytes_sent, network.bytes_recv - self._network.bytes_recv]
        return [cpu, self._process.memory_info().rss / MEBIBYTE, *(count / MEBIBYTE for count in traffic)]

    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system
