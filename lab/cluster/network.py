"""Network namespaces, the bridge that joins them, and their links, made with iproute2.

The bridge has its own namespace, so that nothing of the laboratory appears in the machine's network, and everything ends
with the namespaces. A link is a pair of veth interfaces: `eth0` at the node, and one with the node's name at the bridge.
Each end limits the traffic that leaves it, so that a link carries its full rate in both directions at the same time.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import subprocess
from pathlib import Path

from lab.cluster.settings import Host, LaboratorySettings

NAMESPACES = Path("/run/netns")
ETC = Path("/etc/netns")  # `ip netns exec NAME` shows the files of /etc/netns/NAME in /etc
QUEUE_MILLISECONDS = 50  # what a full link queues before it drops packets; similar to a home router


def run(*command: str) -> str:
    """Runs a command and returns its standard output. Raises RuntimeError with its standard error if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command)}` ended with exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def exists(namespace: str) -> bool:
    """Whether there is a namespace of this name."""
    return (NAMESPACES / namespace).exists()


def add_switch(switch: Host, settings: LaboratorySettings) -> None:
    """Creates the bridge in its namespace."""
    run("ip", "netns", "add", switch.namespace)
    run("ip", "-n", switch.namespace, "link", "add", "name", "switch", "type", "bridge")
    _configure(switch, "switch", settings)


def add_node(node: Host, switch: Host, settings: LaboratorySettings) -> None:
    """Creates a host's namespace and its link to the bridge, with the host's limits."""
    run("ip", "netns", "add", node.namespace)
    at_node = ("peer", "name", "eth0", "netns", node.namespace)
    run("ip", "-n", switch.namespace, "link", "add", "name", node.name, "type", "veth", *at_node)
    _configure(node, "eth0", settings)
    run("ip", "-n", switch.namespace, "link", "set", "dev", node.name, "addrgenmode", "none")
    run("ip", "-n", switch.namespace, "link", "set", "dev", node.name, "master", "switch", "up")
    shape_link(node, switch)


def _configure(node: Host, interface: str, settings: LaboratorySettings) -> None:
    """Sets an interface's address and a route whose TCP congestion control is CUBIC, independent of the machine's default."""
    inside = ("ip", "-n", node.namespace)
    prefix = ipaddress.ip_network(settings.network).prefixlen
    run(*inside, "link", "set", "dev", "lo", "up")
    run(*inside, "link", "set", "dev", interface, "addrgenmode", "none")  # IPv4 only
    run(*inside, "address", "add", f"{node.address}/{prefix}", "dev", interface, "noprefixroute")
    run(*inside, "link", "set", "dev", interface, "up")
    run(*inside, "route", "add", settings.network, "dev", interface, "src", node.address, "congctl", "cubic")


def _shape(namespace: str, interface: str, node: Host) -> None:
    """Sets delay and rate: netem at the root and tbf below it, as in tc-netem(8).

    Earlier limits are deleted together with the packets in their queue. A queued packet that is larger than the burst of a
    lower rate would never leave, and would block all packets behind it.
    """
    tc = ("tc", "-n", namespace, "qdisc")
    if any(kind in run(*tc, "show", "dev", interface) for kind in ("tbf", "netem")):
        run(*tc, "delete", "dev", interface, "root")
    parent = ["root"]
    if node.delay_ms:
        delay = ("delay", f"{node.delay_ms}ms", "limit", "10000")
        run(*tc, "add", "dev", interface, "root", "handle", "1:", "netem", *delay)
        parent = ["parent", "1:1"]
    if node.bandwidth_mbit:
        # Two milliseconds at full rate, for kernels with coarse timers, and at least a few packets.
        burst = max(16_000, round(node.bandwidth_mbit * 1e6 / 8 * 0.002))
        rate = ("rate", f"{round(node.bandwidth_mbit * 1e6)}bit", "burst", f"{burst}b")
        run(*tc, "add", "dev", interface, *parent, "tbf", *rate, "latency", f"{QUEUE_MILLISECONDS}ms")


def shape_link(node: Host, switch: Host) -> None:
    """Sets the limits of a host's link at both ends."""
    for namespace, interface in ((node.namespace, "eth0"), (switch.namespace, node.name)):
        _shape(namespace, interface, node)


def set_link(node: Host, switch: Host, up: bool) -> None:
    """Connects or disconnects a host's link at the bridge."""
    run("ip", "-n", switch.namespace, "link", "set", "dev", node.name, "up" if up else "down")


def link_is_up(node: Host, switch: Host) -> bool:
    """Whether a host's link is connected."""
    (shown,) = json.loads(run("ip", "-n", switch.namespace, "-j", "link", "show", "dev", node.name))
    return "UP" in shown["flags"]


def traffic(switch: Host) -> dict[str, tuple[int, int]]:
    """The bytes, with headers, that each host has sent and received over its link, counted at the bridge."""
    shown = json.loads(run("ip", "-n", switch.namespace, "-s", "-j", "link", "show", "type", "veth"))
    return {link["ifname"]: (link["stats64"]["rx"]["bytes"], link["stats64"]["tx"]["bytes"]) for link in shown}


def write_hosts(node: Host, hosts: list[Host]) -> None:
    """Writes the /etc/hosts of a host's namespace, with all hosts in it."""
    lines = ["127.0.0.1 localhost", *(f"{host.address} {host.name}" for host in hosts)]
    folder = ETC / node.namespace
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hosts").write_text("\n".join(lines) + "\n")


def remove(namespace: str) -> None:
    """Removes a namespace with its links and hosts file; missing parts are no error."""
    if exists(namespace):
        run("ip", "netns", "delete", namespace)
    (ETC / namespace / "hosts").unlink(missing_ok=True)
    for folder in (ETC / namespace, ETC):
        with contextlib.suppress(OSError):  # it does not exist, or has files of other programs
            folder.rmdir()
