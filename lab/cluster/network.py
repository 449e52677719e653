"""Namespaces, the bridge that joins them, and their links, by iproute2.

The bridge has a namespace of its own, so that the machine's own network never sees anything of the laboratory: what is
made here ends with the namespaces. A link is a pair of veth interfaces: `eth0` at the node, and one named like the node at
the bridge. Each end's limit shapes what leaves it, so a link carries its rate both ways at the same time.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import subprocess
from pathlib import Path

from lab.cluster.settings import Node, Settings

NAMESPACES = Path("/run/netns")
ETC = Path("/etc/netns")  # `ip netns exec NAME` shows the files of /etc/netns/NAME in /etc
QUEUE_MILLISECONDS = 50  # what a full link holds back before it drops, about a home router's


def run(*command: str) -> str:
    """Runs a command; its standard output. Raises RuntimeError with what it complained of."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command)}` ended with exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def exists(namespace: str) -> bool:
    return (NAMESPACES / namespace).exists()


def add_switch(switch: Node, settings: Settings) -> None:
    run("ip", "netns", "add", switch.namespace)
    run("ip", "-n", switch.namespace, "link", "add", "name", "switch", "type", "bridge")
    _configure(switch, "switch", settings)


def add_node(node: Node, switch: Node, settings: Settings) -> None:
    """Makes a node's namespace and its link to the bridge, with their limits."""
    run("ip", "netns", "add", node.namespace)
    at_node = ("peer", "name", "eth0", "netns", node.namespace)
    run("ip", "-n", switch.namespace, "link", "add", "name", node.name, "type", "veth", *at_node)
    _configure(node, "eth0", settings)
    run("ip", "-n", switch.namespace, "link", "set", "dev", node.name, "addrgenmode", "none")
    run("ip", "-n", switch.namespace, "link", "set", "dev", node.name, "master", "switch", "up")
    shape_link(node, switch)


def _configure(node: Node, interface: str, settings: Settings) -> None:
    """Gives an interface its address, and a route on which TCP is CUBIC, whatever the machine's default."""
    inside = ("ip", "-n", node.namespace)
    prefix = ipaddress.ip_network(settings.network).prefixlen
    run(*inside, "link", "set", "dev", "lo", "up")
    run(*inside, "link", "set", "dev", interface, "addrgenmode", "none")  # IPv4 alone
    run(*inside, "address", "add", f"{node.address}/{prefix}", "dev", interface, "noprefixroute")
    run(*inside, "link", "set", "dev", interface, "up")
    run(*inside, "route", "add", settings.network, "dev", interface, "src", node.address, "congctl", "cubic")


def _shape(namespace: str, interface: str, node: Node) -> None:
    """Delay first, then rate: netem at the root, tbf below it, as tc-netem(8) has it.

    What was there goes first, with the packets that it holds: one that is larger than the burst of a lower rate would never
    leave, nor would any behind it.
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
        # Two milliseconds at full rate, for kernels with slow clocks, but never less than a few packets.
        burst = max(16_000, round(node.bandwidth_mbit * 1e6 / 8 * 0.002))
        rate = ("rate", f"{round(node.bandwidth_mbit * 1e6)}bit", "burst", f"{burst}b")
        run(*tc, "add", "dev", interface, *parent, "tbf", *rate, "latency", f"{QUEUE_MILLISECONDS}ms")


def shape_link(node: Node, switch: Node) -> None:
    """Gives both ends of a node's link its limits."""
    for namespace, interface in ((node.namespace, "eth0"), (switch.namespace, node.name)):
        _shape(namespace, interface, node)


def set_link(node: Node, switch: Node, up: bool) -> None:
    """Plugs a node's cable in or out, at the bridge."""
    run("ip", "-n", switch.namespace, "link", "set", "dev", node.name, "up" if up else "down")


def link_is_up(node: Node, switch: Node) -> bool:
    (shown,) = json.loads(run("ip", "-n", switch.namespace, "-j", "link", "show", "dev", node.name))
    return "UP" in shown["flags"]


def traffic(switch: Node) -> dict[str, tuple[int, int]]:
    """Bytes that each host sent and received over its link so far, with headers, counted at the bridge."""
    shown = json.loads(run("ip", "-n", switch.namespace, "-s", "-j", "link", "show", "type", "veth"))
    return {link["ifname"]: (link["stats64"]["rx"]["bytes"], link["stats64"]["tx"]["bytes"]) for link in shown}


def write_hosts(node: Node, hosts: list[Node]) -> None:
    """Gives a namespace its /etc/hosts."""
    lines = ["127.0.0.1 localhost", *(f"{host.address} {host.name}" for host in hosts)]
    folder = ETC / node.namespace
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hosts").write_text("\n".join(lines) + "\n")


def remove(namespace: str) -> None:
    """Removes a namespace with its links and hosts file; what is gone is fine."""
    if exists(namespace):
        run("ip", "netns", "delete", namespace)
    (ETC / namespace / "hosts").unlink(missing_ok=True)
    for folder in (ETC / namespace, ETC):
        with contextlib.suppress(OSError):  # not there, or somebody else's files in it
            folder.rmdir()
