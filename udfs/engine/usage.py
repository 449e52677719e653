"""The resources that a worker uses: processor, memory and network, measured with psutil."""

from __future__ import annotations

import time

import psutil

from udfs.engine.plan import Member

MEBIBYTE = 2**20


class Usage:
    """Measures from its creation on.

    Network bytes are those of the host's interfaces, shared equally among its workers. The loopback interface counts only if
    another worker is on the same host.
    """

    FIELDS = ("cpu_cores", "memory_mb", "sent_mb", "received_mb")

    def __init__(self, member: Member):
        hosts = [address.rsplit(":", 1)[0] for address in member.addresses]
        self._workers_on_host = hosts.count(hosts[member.rank])
        self._process = psutil.Process()
        self._began, self._cpu, self._network = time.monotonic(), self._cpu_seconds(), self._traffic()

    def row(self) -> list[float]:
        """FIELDS: cores in use on average, resident MiB now, MiB sent and received."""
        cpu = (self._cpu_seconds() - self._cpu) / max(time.monotonic() - self._began, 1e-9)
        traffic = [
            (now - then) / self._workers_on_host for now, then in zip(self._traffic(), self._network, strict=True)
        ]
        return [cpu, self._process.memory_info().rss / MEBIBYTE, *(count / MEBIBYTE for count in traffic)]

    def _traffic(self) -> tuple[int, int]:
        """Bytes sent and received since the host started."""
        counters = psutil.net_io_counters(pernic=True, nowrap=True)
        counted = [count for name, count in counters.items() if self._workers_on_host > 1 or not name.startswith("lo")]
        return sum(count.bytes_sent for count in counted), sum(count.bytes_recv for count in counted)

    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)
