"""Measures the rate of a link with iperf3, between a host and the bridge."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from lab.cluster.hosts import Hosts
from lab.cluster.settings import Host

DIRECTIONS = {"measured_up_mbit": (), "measured_down_mbit": ("--reverse",)}


def measure(hosts: Hosts, host: Host, seconds: int) -> dict[str, float]:
    """Measures the TCP payload from a host and to it, one direction after the other.

    A full link with packets of 1,500 bytes carries 0.956 of its rate as payload.

    Args:
        hosts: The laboratory's hosts.
        host: The host at the end of the link.
        seconds: The length of each of the two measurements.

    Returns:
        Mbit/s by direction: `measured_up_mbit` from the host, `measured_down_mbit` to it.
    """
    rates = {}
    for direction, flags in DIRECTIONS.items():
        with server(hosts):
            client = ("iperf3", "--client", hosts.switch.address, "--time", str(seconds), "--json", *flags)
            report = json.loads(hosts.run(host, *client))
        rates[direction] = round(report["end"]["sum_received"]["bits_per_second"] / 1e6, 2)
    return rates


@contextmanager
def server(hosts: Hosts) -> Iterator[None]:
    """Runs iperf3's server at the bridge inside the block, for one client."""
    command = hosts.command(hosts.switch, "iperf3", "--server", "--one-off", "--forceflush")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout:
                if "listening" in line:
                    break
            yield
        finally:
            process.kill()
