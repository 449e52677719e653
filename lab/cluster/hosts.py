"""The hosts of a laboratory, and processes on them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace

from lab.cluster import cgroup, network
from lab.cluster.environment import host_environment
from lab.cluster.processes import Process
from lab.cluster.settings import Host, LaboratorySettings, folder_of, head_of, nodes_of, switch_of
from udfs.errors import InputError

# The cgroup is joined first: `ip netns exec` mounts a new /sys, in which it is not visible.
JOIN_CGROUP = 'echo 0 > "$0" && exec "$@"'
SET_HOSTNAME = 'hostname "$0" && exec "$@"'


class Hosts:
    """The head, the nodes and the switch. Iteration gives the head and then the nodes, in order.

    Args:
        settings: The laboratory's settings.
        on_start: Called with each process that `start` has started.
    """

    def __init__(self, settings: LaboratorySettings, on_start: Callable[[Process], None]):
        self.settings = settings
        self.head, self.nodes, self.switch = head_of(settings), nodes_of(settings), switch_of(settings)
        self.folder = folder_of(settings)
        self._on_start = on_start
        self._children: list[subprocess.Popen] = []

    def __iter__(self) -> Iterator[Host]:
        return iter([self.head, *self.nodes])

    def named(self, name: str) -> Host:
        """The head or the node of this name. Raises InputError if there is none."""
        for host in self:
            if host.name == name:
                return host
        raise InputError(f"node: found {name!r}, expected one of {', '.join(host.name for host in self)}")

    def set_bandwidth(self, mbit: list[float]) -> None:
        """Notes the bandwidth of each node, in order; the links themselves are not changed."""
        self.nodes = [replace(node, bandwidth_mbit=rate) for node, rate in zip(self.nodes, mbit, strict=True)]

    def command(self, host: Host, *command: str) -> list[str]:
        """The command that runs `command` on a host: in its cgroup and namespace, under its host name."""
        inside = ["ip", "netns", "exec", host.namespace, "unshare", "--uts", "sh", "-c", SET_HOSTNAME, host.name]
        if not host.cpus:
            return [*inside, *command]
        processes = cgroup.find_root().path / host.namespace / "cgroup.procs"
        return ["sh", "-c", JOIN_CGROUP, str(processes), *inside, *command]

    def environment(self, host: Host) -> dict[str, str]:
        """The environment variables of a process on a host."""
        return host_environment(host, self.folder)

    def start(self, host: Host, *command: str, name: str = "command", **options) -> subprocess.Popen:
        """Starts a process on a host. It ends with the laboratory at the latest.

        Args:
            host: The host.
            command: The program and its arguments.
            name: The name under which the process is recorded.
            options: Further arguments of `subprocess.Popen`.
        """
        process = subprocess.Popen(self.command(host, *command), env=self.environment(host), **options)
        self._children.append(process)
        self._on_start(Process.of(name, process.pid))
        return process

    def run(self, host: Host, *command: str) -> str:
        """Runs a command on a host to its end and returns its standard output. Raises RuntimeError if it fails."""
        return network.run(*self.command(host, *command))

    def wait_for_processes(self) -> None:
        """Waits until every process that `start` has started has ended."""
        for child in self._children:
            child.wait()
