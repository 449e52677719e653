"""What a link really carries, by iperf3 between a host and the bridge."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lab.cluster.settings import Node

if TYPE_CHECKING:
    from lab.cluster.laboratory import Laboratory


def measure(laboratory: Laboratory, host: Node, seconds: int) -> dict[str, float]:
    """Mbit/s of TCP payload that arrive from a host and at it, each measured alone for so many seconds.

    A full link of 1,500-byte packets carries 0.956 of its rate as payload.
    """
    found = {}
    for way, flags in {"measured_up_mbit": (), "measured_down_mbit": ("--reverse",)}.items():
        with server(laboratory):
            client = ("iperf3", "--client", laboratory.switch.address, "--time", str(seconds), "--json", *flags)
            report = json.loads(laboratory.run(host, *client))
        found[way] = round(report["end"]["sum_received"]["bits_per_second"] / 1e6, 2)
    return found


@contextmanager
def server(laboratory: Laboratory) -> Iterator[None]:
    """iperf3's server at the bridge, for one client."""
    command = laboratory.command(laboratory.switch, "iperf3", "--server", "--one-off", "--forceflush")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout:
                if "listening" in line:
                    break
            yield
        finally:
            process.kill()
