"""One laboratory: created, used and removed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from lab.cluster import cgroup, machine, network, rates, spark, state
from lab.cluster.environment import temporary_folder
from lab.cluster.hosts import Hosts
from lab.cluster.processes import Process
from lab.cluster.removal import is_abandoned, is_broken, take_down
from lab.cluster.settings import Host, LaboratorySettings
from lab.cluster.state import State
from udfs.errors import InputError


class Laboratory:
    """A virtual cluster. As a context manager it is up inside the block and removed after it.

    Example:
        with Laboratory(load_settings(None, ["bandwidth_mbit=10"])) as laboratory:
            laboratory.submit("jobs/train.py", "--config", "conf/local.yaml").wait()
    """

    def __init__(self, settings: LaboratorySettings):
        self.settings = settings
        self.hosts = Hosts(settings, self._record)
        self.state: State | None = None

    @classmethod
    def attach(cls, name: str) -> Laboratory:
        """The running laboratory of this name. Raises InputError if there is none."""
        saved = state.read(name)
        if saved is None:
            raise InputError(f"name: found no laboratory {name!r}; start one with `python -m lab up name={name}`")
        laboratory = cls(LaboratorySettings(**saved.settings))
        laboratory.state = saved
        return laboratory

    def up(self, keep: bool = False) -> Laboratory:
        """Creates the laboratory. Remains of crashed laboratories are removed first.

        Args:
            keep: Whether the laboratory stays up after this process has ended.

        Raises:
            InputError: If the machine lacks something, or the name is in use.
            RuntimeError: If a command fails.
        """
        machine.require(self.settings)
        for saved in state.all_states():
            if is_abandoned(saved) or (saved.name == self.settings.name and is_broken(saved)):
                take_down(saved)
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
        """Records everything that will be created, before it is created."""
        namespaces = [host.namespace for host in (self.hosts.switch, *self.hosts)]
        root = cgroup.find_root()
        if state.read(self.settings.name) is None:
            self._require_unused([network.NAMESPACES / namespace for namespace in namespaces])
        self.state = State(
            name=self.settings.name,
            settings=asdict(self.settings),
            owner=Process.of("owner", os.getpid()),
            namespaces=namespaces,
            cgroups=[str(root.path / host.namespace) for host in self.hosts if host.cpus],
            folder=str(self.hosts.folder),
        )
        try:
            self.state.create()
        except FileExistsError as error:
            raise InputError(
                f"name: the laboratory {self.settings.name!r} is up already; remove it with `python -m lab down`, or set "
                "name=... to create another one beside it"
            ) from error

    def _require_unused(self, namespaces: list[Path]) -> None:
        """Namespaces and folders without a state file belong to someone else and are never removed."""
        for place in (*namespaces, self.hosts.folder):
            if place.exists():
                remedy = f"`ip netns delete {place.name}`" if place in namespaces else f"`rm -r {place}`"
                raise InputError(
                    f"name: {place} exists, but no laboratory {self.settings.name!r} is up; set another name, or remove "
                    f"it with {remedy}"
                )

    def _build(self) -> None:
        hosts = self.hosts
        network.add_switch(hosts.switch, self.settings)
        for host in hosts:
            network.add_node(host, hosts.switch, self.settings)
            network.write_hosts(host, list(hosts))
            if host.cpus:
                cgroup.create(cgroup.find_root(), host.namespace, host.cpus)
            (hosts.folder / host.name).mkdir(parents=True, exist_ok=True)
        temporary_folder(hosts.folder).mkdir(exist_ok=True)
        self.verify(self.settings.verify_seconds)
        if self.settings.spark:
            with self.uncapped():
                spark.start(hosts)

    def _record(self, process: Process) -> None:
        self.state.processes.append(process)
        self.state.save()

    def down(self) -> None:
        """Removes everything that was created. May be called again, and after any failure."""
        if saved := state.read(self.settings.name):
            take_down(saved)
        self.hosts.wait_for_processes()
        self.state = None

    def __enter__(self) -> Laboratory:
        return self.up()

    def __exit__(self, *_) -> None:
        self.down()

    def submit(self, *arguments: str, **options) -> subprocess.Popen:
        """Starts `spark-submit ARGUMENTS` on the head, with the laboratory's master.

        Args:
            arguments: Arguments of spark-submit.
            options: Arguments of `subprocess.Popen`.
        """
        return self.hosts.start(self.hosts.head, *spark.submit_command(self.hosts, *arguments), **options)

    @contextmanager
    def cut(self, node: Host) -> Iterator[None]:
        """Disconnects a host's link inside the block."""
        network.set_link(node, self.hosts.switch, up=False)
        try:
            yield
        finally:
            network.set_link(node, self.hosts.switch, up=True)

    @contextmanager
    def uncapped(self) -> Iterator[None]:
        """Lets every host use all of the machine's processors inside the block."""
        capped = [host for host in self.hosts if host.cpus]
        for host in capped:
            cgroup.create(cgroup.find_root(), host.namespace, os.cpu_count())
        try:
            yield
        finally:
            for host in capped:
                cgroup.create(cgroup.find_root(), host.namespace, host.cpus)

    def set_bandwidth(self, mbit: list[float]) -> None:
        """Changes the bandwidth of the nodes' links, in order, while they are in use."""
        self.hosts.set_bandwidth(mbit)
        for node in self.hosts.nodes:
            network.shape_link(node, self.hosts.switch)
            self.state.links[node.name] = {"nominal_mbit": node.bandwidth_mbit}
        self.state.save()

    def verify(self, seconds: int) -> dict[str, dict[str, float]]:
        """Measures each host's link alone and records the rates.

        Args:
            seconds: The length of the measurement for each direction; 0 measures nothing.

        Returns:
            By host: `nominal_mbit`, and `measured_up_mbit` and `measured_down_mbit` if they were measured.
        """
        for host in self.hosts:
            measured = rates.measure(self.hosts, host, seconds) if seconds else {}
            self.state.links[host.name] = {"nominal_mbit": host.bandwidth_mbit, **measured}
        self.state.save()
        return dict(self.state.links)

    def traffic(self) -> dict[str, tuple[int, int]]:
        """The bytes sent and received so far over each host's link, by host."""
        return network.traffic(self.hosts.switch)

    def status(self) -> dict:
        """Each host's link, limits and traffic, and Spark's workers."""
        hosts, traffic = {}, self.traffic()
        for host in self.hosts:
            sent, received = traffic[host.name]
            hosts[host.name] = {
                "address": host.address, "cpus": host.cpus, "delay_ms": host.delay_ms, **self.state.links[host.name],
                "link": "up" if network.link_is_up(host, self.hosts.switch) else "cut",
                "sent_bytes": sent, "received_bytes": received,
            }  # fmt: skip
        master = spark.url(self.hosts) if self.settings.spark else None
        alive = spark.alive_workers(self.hosts) if self.settings.spark else []
        return {"name": self.settings.name, "hosts": hosts, "master": master, "alive_workers": alive}
