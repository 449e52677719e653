"""The settings of a laboratory, and the hosts that follow from them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from conf import load_as
from conf.key import key, text

NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
NODE_KEYS = ("bandwidth_mbit", "delay_ms", "cpus")  # one value for all nodes, or a list with one for each
NotNegative = Annotated[float, key("", low=0.0)]
OneOrEach = NotNegative | list[NotNegative]


@dataclass
class LaboratorySettings:
    name: Annotated[str, text("name of the laboratory; the names of its namespaces and cgroups begin with it")] = "lab"
    nodes: Annotated[
        int, key("number of nodes beside the head, which runs Spark's master and the driver", low=1, high=200)
    ] = 2
    network: Annotated[str, text("IPv4 addresses inside the laboratory; invisible outside it")] = "10.77.0.0/24"
    bandwidth_mbit: Annotated[OneOrEach, key("Mbit/s of a node's link in each direction; 0: unlimited")] = 100.0
    delay_ms: Annotated[OneOrEach, key("one-way delay of a node's link in milliseconds; needs netem in the kernel")] = (
        0.0
    )
    cpus: Annotated[OneOrEach, key("processors that a node may use, 0.5 for half of one; 0: all of the machine")] = 0.0
    head_bandwidth_mbit: Annotated[float, key("Mbit/s of the head's link in each direction; 0: unlimited", low=0.0)] = (
        0.0
    )
    head_delay_ms: Annotated[float, key("one-way delay of the head's link in milliseconds", low=0.0)] = 0.0
    head_cpus: Annotated[float, key("processors that the head may use; 0: all of the machine", low=0.0)] = 0.0
    spark: Annotated[bool, key("start Spark's master on the head and a worker on each node")] = True
    cores: Annotated[int, key("tasks that a node runs at the same time", low=1)] = 1
    memory: Annotated[str, text("heap size of a node's executor")] = "1g"
    verify_seconds: Annotated[
        int,
        key("seconds of iperf3 for each direction of each link when the laboratory starts; 0: no measurement", low=0),
    ] = 1
    folder: Annotated[
        str, text("where the laboratory creates its folder for logs and temporary files, which is deleted with it")
    ] = "data"

    def __post_init__(self):
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"name: found {self.name!r}, expected at most 20 lower-case letters, digits and hyphens; set name=lab"
            )
        for name in NODE_KEYS:
            value = getattr(self, name)
            if isinstance(value, list) and len(value) not in (1, self.nodes):
                raise ValueError(
                    f"{name}: found {len(value)} values for nodes={self.nodes}, expected 1 or {self.nodes}; "
                    "give one value for all nodes or one for each"
                )
        self._require_addresses()

    def _require_addresses(self) -> None:
        try:
            network = ipaddress.ip_network(self.network)
        except ValueError as error:
            raise ValueError(f"network: {error}; set network=10.77.0.0/24 or the like") from error
        if network.version != 4 or network.num_addresses < self.nodes + 4:
            raise ValueError(
                f"network: found {self.network}, expected IPv4 with room for {self.nodes + 2} hosts; "
                "set network=10.77.0.0/16 or the like"
            )


def load_settings(path: str | None = None, overrides: Iterable[str] = ()) -> LaboratorySettings:
    """The defaults, then a YAML file, then `key=value` overrides. Raises InputError that names the key."""
    return load_as(LaboratorySettings, path, overrides, "python -m lab up --help")


@dataclass(frozen=True)
class Host:
    """A host of the laboratory: a network namespace with one interface, `eth0`, and its own host name."""

    name: str
    namespace: str
    address: str
    bandwidth_mbit: float
    delay_ms: float
    cpus: float


def head_of(settings: LaboratorySettings) -> Host:
    """The host of Spark's master and the driver."""
    return Host(
        "head", f"{settings.name}-head", _address(settings, 1),
        settings.head_bandwidth_mbit, settings.head_delay_ms, settings.head_cpus,
    )  # fmt: skip


def nodes_of(settings: LaboratorySettings) -> list[Host]:
    """The nodes, without the head, in order."""
    limits = zip(*(_for_each_node(getattr(settings, name), settings.nodes) for name in NODE_KEYS), strict=True)
    return [
        Host(f"node{number}", f"{settings.name}-node{number}", _address(settings, number + 1), *values)
        for number, values in enumerate(limits, 1)
    ]


def switch_of(settings: LaboratorySettings) -> Host:
    """The bridge that joins all links. It has an address, so that each link can be measured alone."""
    return Host("switch", f"{settings.name}-switch", _address(settings, -2), 0.0, 0.0, 0.0)


def folder_of(settings: LaboratorySettings) -> Path:
    """The folder of the laboratory's logs and temporary files."""
    return Path(settings.folder).absolute() / f"laboratory-{settings.name}"


def _for_each_node(value: float | list[float], nodes: int) -> list[float]:
    values = value if isinstance(value, list) else [value]
    return values * nodes if len(values) == 1 else values


def _address(settings: LaboratorySettings, index: int) -> str:
    return str(ipaddress.ip_network(settings.network)[index])
