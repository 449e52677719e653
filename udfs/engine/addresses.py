"""Addresses as `host:port`, with brackets around the host if it is IPv6, and sockets that accept IPv4 and IPv6."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

ANY_PORT = 0


def bare_host(host: str) -> str:
    """A host without the brackets that Spark puts around IPv6 addresses."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def join_address(host: str, port: int) -> str:
    """`host:port`, and `[host]:port` for an IPv6 address."""
    host = bare_host(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_of(address: str) -> str:
    """The host of `host:port`, without brackets; an address without a port is returned as it is.

    Example:
        >>> host_of("[::1]:7077"), host_of("10.0.0.1:7077"), host_of("node")
        ('::1', '10.0.0.1', 'node')
    """
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.rsplit(":", 1)[0] if address.count(":") == 1 else address


def listening_socket(port: int = ANY_PORT, backlog: int = 128) -> socket.socket:
    """A socket that listens on every address of this machine, IPv6 included where the machine has it."""
    try:
        return socket.create_server(("", port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True)
    except (OSError, ValueError):  # IPv6 is not built in, or switched off
        return socket.create_server(("", port), backlog=backlog)


def free_port() -> int:
    """A port that is free now. If another process takes it before TensorFlow does, the gang is restarted."""
    with listening_socket() as probe:
        return int(probe.getsockname()[1])


def without_proxy(addresses: Iterable[str]) -> dict[str, str]:
    """Environment variables for a worker: gRPC connects to these addresses directly, whatever proxy is set.

    gRPC reads `http_proxy` and `https_proxy` as web clients do, but most proxies refuse what is not HTTP, and none can reach
    hosts that only the cluster knows. The proxies stay set for downloads.
    """
    exempt = os.environ.get("no_grpc_proxy") or os.environ.get("no_proxy") or ""  # noqa: SIM112  # gRPC's names
    hosts = dict.fromkeys([*filter(None, exempt.split(",")), *map(host_of, addresses)])
    return {"no_grpc_proxy": ",".join(hosts)}
