"""One laboratory: made, used, and taken down again with all that it made."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from lab.cluster import cgroup, machine, network, processes, rates, state
from lab.cluster import spark as cluster
from lab.cluster.processes import Process
from lab.cluster.settings import Node, Settings, folder_of, head_of, nodes_of, switch_of
from lab.cluster.state import State
from udfs.errors import InputError

# Joins the cgroup first: inside `ip netns exec`, which mounts /sys anew, it is out of sight.
JOIN = 'echo 0 > "$0" && exec "$@"'
NAMED = 'hostname "$0" && exec "$@"'


class Laboratory:
    """A virtual cluster. As a context manager it is up inside the block and gone after it.

    with Laboratory(load(None, ["bandwidth_mbit=10"])) as laboratory:
        laboratory.submit("jobs/train.py", "--config", "conf/local.yaml").wait()
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.head, self.nodes, self.switch = head_of(settings), nodes_of(settings), switch_of(settings)
        self.hosts = [self.head, *self.nodes]
        self.folder = folder_of(settings)
        self.state: State | None = None
        self._children: list[subprocess.Popen] = []

    @classmethod
    def attach(cls, name: str) -> Laboratory:
        """The laboratory of this name that is up. Raises InputError where there is none."""
        found = state.read(name)
        if found is None:
            raise InputError(f"name: found no laboratory {name!r}; start one with `python -m lab up name={name}`")
        laboratory = cls(Settings(**found.settings))
        laboratory.state = found
        return laboratory

    def up(self, keep: bool = False) -> Laboratory:
        """Makes it; what a crash left of it or of others is removed first. With `keep` it outlives this process.

        Raises InputError where something is missing or in the way, RuntimeError where a command fails.
        """
        machine.require(self.settings)
        for left in state.all_states():
            if is_abandoned(left) or (left.name == self.settings.name and is_broken(left)):
                take_down(left)
        self._claim()
        try:
            self._build()
            if keep:
                self.state.owner = None
                self.state.save()
        except BaseException:
            self.down()
            raise
        return self

    def _claim(self) -> None:
        """Writes down what will be made."""
        every = [self.switch, *self.hosts]
        root = cgroup.find_root()
        if state.read(self.settings.name) is None:
            self._require_nobodys([network.NAMESPACES / host.namespace for host in every])
        self.state = State(
            name=self.settings.name,
            settings=asdict(self.settings),
            owner=Process.of("owner", os.getpid()),
            namespaces=[host.namespace for host in every],
            cgroups=[str(root.path / host.namespace) for host in self.hosts if host.cpus],
            folder=str(self.folder),
        )
        try:
            self.state.create()
        except FileExistsError as error:
            raise InputError(
                f"name: the laboratory {self.settings.name!r} is up already; `python -m lab down` takes it down, and "
                "name=... makes another beside it"
            ) from error

    def _require_nobodys(self, namespaces: list[Path]) -> None:
        """What is there without a state file is not ours to remove."""
        for place in (*namespaces, self.folder):
            if place.exists():
                remedy = f"`ip netns delete {place.name}`" if place in namespaces else f"`rm -r {place}`"
                raise InputError(
                    f"name: {place} is there, but no laboratory {self.settings.name!r} is up; set another name, or remove "
                    f"it with {remedy}"
                )

    def _build(self) -> None:
        network.add_switch(self.switch, self.settings)
        for host in self.hosts:
            network.add_node(host, self.switch, self.settings)
            network.write_hosts(host, self.hosts)
            if host.cpus:
                cgroup.create(cgroup.find_root(), host.namespace, host.cpus)
            (self.folder / host.name).mkdir(parents=True, exist_ok=True)
        (self.folder / "tmp").mkdir(exist_ok=True)
        self.verify(self.settings.verify_seconds)
        if self.settings.spark:
            with self.uncapped():
                cluster.start(self)

    def down(self) -> None:
        """Removes all that it made; may be called again, and after any failure."""
        if found := state.read(self.settings.name):
            take_down(found)
        for child in self._children:
            child.wait()
        self.state = None

    def __enter__(self) -> Laboratory:
        return self.up()

    def __exit__(self, *_) -> None:
        self.down()

    def host(self, name: str) -> Node:
        """A host by its name. Raises InputError where there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise InputError(f"node: found {name!r}, expected one of {', '.join(host.name for host in self.hosts)}")

    def command(self, host: Node, *command: str) -> list[str]:
        """The command that runs `command` on a host: on its processors, in its network, under its name."""
        inside = ["ip", "netns", "exec", host.namespace, "unshare", "--uts", "sh", "-c", NAMED, host.name, *command]
        if host.cpus:
            inside = ["sh", "-c", JOIN, str(cgroup.find_root().path / host.namespace / "cgroup.procs"), *inside]
        return inside

    def environment(self, host: Node) -> dict[str, str]:
        """The variables of a process on a host, which shares no Spark or Python settings with this process."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYSPARK", "SPARK"))}
        return {**kept, **cluster.environment(self, host), "TMPDIR": str(self.folder / "tmp")}

    def start(self, host: Node, *command: str, kind: str = "command", **options) -> subprocess.Popen:
        """Starts a process on a host; it ends with the laboratory at the latest."""
        process = subprocess.Popen(self.command(host, *command), env=self.environment(host), **options)
        self._children.append(process)
        self.state.processes.append(Process.of(kind, process.pid))
        self.state.save()
        return process

    def run(self, host: Node, *command: str) -> str:
        """Runs a command on a host to its end; its standard output. Raises RuntimeError where it fails."""
        return network.run(*self.command(host, *command))

    def submit(self, *arguments: str, **options) -> subprocess.Popen:
        """Starts `spark-submit ARGUMENTS` on the head, against the laboratory's own cluster."""
        return self.start(self.head, *cluster.submit_command(self, *arguments), **options)

    @contextmanager
    def cut(self, node: Node) -> Iterator[None]:
        """A node's cable is out inside the block."""
        network.set_link(node, self.switch, up=False)
        try:
            yield
        finally:
            network.set_link(node, self.switch, up=True)

    @contextmanager
    def uncapped(self) -> Iterator[None]:
        """Every host may use all of the machine's processors inside the block."""
        capped = [host for host in self.hosts if host.cpus]
        for host in capped:
            cgroup.create(cgroup.find_root(), host.namespace, os.cpu_count())
        try:
            yield
        finally:
            for host in capped:
                cgroup.create(cgroup.find_root(), host.namespace, host.cpus)

    def set_bandwidth(self, mbit: list[float]) -> None:
        """Changes the links of the nodes, in their order, while they carry what they carry."""
        self.nodes = [replace(node, bandwidth_mbit=rate) for node, rate in zip(self.nodes, mbit, strict=True)]
        self.hosts = [self.head, *self.nodes]
        for node in self.nodes:
            network.shape_link(node, self.switch)
            self.state.links[node.name] = {"nominal_mbit": node.bandwidth_mbit}
        self.state.save()

    def verify(self, seconds: int) -> dict[str, dict[str, float]]:
        """Measures each host's link, alone, each way; the nominal and the measured rates by host, which are noted too."""
        for host in self.hosts:
            found = rates.measure(self, host, seconds) if seconds else {}
            self.state.links[host.name] = {"nominal_mbit": host.bandwidth_mbit, **found}
        self.state.save()
        return dict(self.state.links)

    def traffic(self) -> dict[str, tuple[int, int]]:
        """Bytes sent and received over its link, by host."""
        return network.traffic(self.switch)

    def status(self) -> dict:
        """Each host's link, limits and traffic, and Spark's workers."""
        hosts, traffic = {}, self.traffic()
        for host in self.hosts:
            sent, received = traffic[host.name]
            hosts[host.name] = {
                "address": host.address, "cpus": host.cpus, "delay_ms": host.delay_ms, **self.state.links[host.name],
                "link": "up" if network.link_is_up(host, self.switch) else "cut",
                "sent_bytes": sent, "received_bytes": received,
            }  # fmt: skip
        master = cluster.url(self) if self.settings.spark else None
        alive = cluster.alive_workers(self) if self.settings.spark else []
        return {"name": self.settings.name, "hosts": hosts, "master": master, "alive_workers": alive}


def is_abandoned(found: State) -> bool:
    """Whether the process that a laboratory should end with has ended."""
    return found.owner is not None and not found.owner.is_alive()


def is_broken(found: State) -> bool:
    """Whether something is missing of a laboratory that should be up."""
    if found.owner is not None:
        return not found.owner.is_alive()
    daemons = [process for process in found.processes if process.name in cluster.DAEMONS]
    return not all(map(network.exists, found.namespaces)) or not all(daemon.is_alive() for daemon in daemons)


def take_down(found: State) -> None:
    """Ends the processes, then removes cgroups, namespaces with their links, and files; what is gone already is fine."""
    groups = [Path(group) for group in found.cgroups]
    processes.end_all(found.processes, found.namespaces, groups)
    for group in groups:
        cgroup.remove(group)
    for namespace in found.namespaces:
        network.remove(namespace)
    shutil.rmtree(found.folder, ignore_errors=True)
    state.State.remove(found)
