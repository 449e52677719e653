"""What a laboratory is made of: its settings, and the nodes that follow from them."""

from __future__ import annotations

import difflib
import ipaddress
import re
from dataclasses import dataclass, field, fields
from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from conf.schema import setting
from udfs.errors import InputError

A_NODE = ("bandwidth_mbit", "delay_ms", "cpus")  # one value for all nodes, or a list with one for each
NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")


def one_or_each(default: float, meaning: str):
    """A setting of a node: a number for all, or a list with one for each."""
    return field(default_factory=lambda: [default], metadata={"meaning": meaning, "low": 0.0, "high": None})


@dataclass
class Settings:
    name: str = setting("lab", "name of the laboratory; its namespaces and cgroups begin with it")
    nodes: int = setting(2, "nodes beside the head, which holds Spark's master and the driver", low=1, high=200)
    network: str = setting("10.77.0.0/24", "addresses inside the laboratory; nothing outside sees them")
    bandwidth_mbit: list[float] = one_or_each(100.0, "Mbit/s of a node's link, each way; 0: unlimited")
    delay_ms: list[float] = one_or_each(0.0, "one-way delay of a node's link; needs netem in the kernel")
    cpus: list[float] = one_or_each(0.0, "processors that a node may use (0.5: half of one); 0: as many as there are")
    head_bandwidth_mbit: float = setting(0.0, "Mbit/s of the head's link, each way; 0: unlimited", low=0.0)
    head_delay_ms: float = setting(0.0, "one-way delay of the head's link", low=0.0)
    head_cpus: float = setting(0.0, "processors that the head may use; 0: as many as there are", low=0.0)
    spark: bool = setting(True, "start a master on the head and a worker on each node")
    cores: int = setting(1, "tasks that a node runs at a time", low=1)
    memory: str = setting("1g", "heap of a node's executor")
    verify_seconds: int = setting(1, "seconds of iperf3 each way on each link at the start; 0: trust the limits", low=0)
    folder: str = setting("data", "where the laboratory makes a folder for logs and temporary files; deleted with it")


@dataclass(frozen=True)
class Node:
    """A host of the laboratory: a network namespace with one interface, `eth0`, and a host name of its own."""

    name: str
    namespace: str
    address: str
    bandwidth_mbit: float
    delay_ms: float
    cpus: float


def describe() -> str:
    """One line a key: name, default and meaning, for `--help`."""
    defaults = Settings()
    return "\n".join(
        f"  {key.name:20} {getattr(defaults, key.name)!s:14} {key.metadata['meaning']}" for key in fields(Settings)
    )


def load(path: str | None = None, overrides: list[str] = ()) -> Settings:
    """The defaults, then a YAML file, then `key=value` overrides. Raises InputError that names the key."""
    try:
        given = OmegaConf.load(path) if path else OmegaConf.create()
        if not isinstance(given, DictConfig):
            raise InputError(
                f"--config {path}: found a list, expected keys of the laboratory; see lab/cluster/lab.yaml"
            )
        given = OmegaConf.merge(given, OmegaConf.from_dotlist(list(overrides)))
        for key, value in given.items():
            _check_key(key, value)
            if key in A_NODE and not isinstance(value, ListConfig):
                given[key] = [value]
        settings = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Settings), given))
    except OSError as error:
        raise InputError(f"--config {path}: {error.strerror or error}; give the path of a YAML file") from error
    except (YAMLError, OmegaConfBaseException) as error:
        what = str(error).splitlines()[0]
        key = getattr(error, "full_key", None) or (f"--config {path}" if path else "overrides")
        raise InputError(f"{key}: {what}; `python -m lab up --help` says what is expected") from error
    _check(settings)
    return settings


def _check_key(key: str, value) -> None:
    known = [item.name for item in fields(Settings)]
    if key not in known:
        nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
        raise InputError(f"{key}: unknown key; the nearest known one is {nearest}; `python -m lab up --help` lists all")
    if value is None:
        raise InputError(f"{key}: found nothing, expected a value; set {key}={getattr(Settings(), key)}")


def _check(settings: Settings) -> None:
    for key in fields(Settings):
        found, low, high = getattr(settings, key.name), key.metadata["low"], key.metadata["high"]
        for value in found if isinstance(found, list) else [found]:
            if (low is not None and not value >= low) or (high is not None and not value <= high):
                bounds = f"at least {low}" if high is None else f"from {low} to {high}"
                raise InputError(f"{key.name}: found {value!r}, expected {bounds}; change {key.name}")
    for key in A_NODE:
        count = len(getattr(settings, key))
        if count not in (1, settings.nodes):
            raise InputError(
                f"{key}: found {count} values for nodes={settings.nodes}, expected 1 or {settings.nodes}; "
                f"give one for all nodes or one for each"
            )
    if not NAME.fullmatch(settings.name):
        raise InputError(
            f"name: found {settings.name!r}, expected at most 20 lower-case letters, digits and hyphens; set name=lab"
        )
    try:
        network = ipaddress.ip_network(settings.network)
    except ValueError as error:
        raise InputError(f"network: {error}; set network=10.77.0.0/24 or the like") from error
    if network.version != 4 or network.num_addresses < settings.nodes + 4:
        raise InputError(
            f"network: found {settings.network}, expected IPv4 with room for {settings.nodes + 2} hosts; "
            "set network=10.77.0.0/16 or the like"
        )


def head_of(settings: Settings) -> Node:
    return Node(
        "head", f"{settings.name}-head", _address(settings, 1),
        settings.head_bandwidth_mbit, settings.head_delay_ms, settings.head_cpus,
    )  # fmt: skip


def nodes_of(settings: Settings) -> list[Node]:
    """The nodes without the head, in order."""
    own = [getattr(settings, key) * (settings.nodes if len(getattr(settings, key)) == 1 else 1) for key in A_NODE]
    return [
        Node(f"node{number}", f"{settings.name}-node{number}", _address(settings, number + 1), *limits)
        for number, limits in enumerate(zip(*own, strict=True), 1)
    ]


def switch_of(settings: Settings) -> Node:
    """The bridge: no host of the cluster, but with an address, so that each link can be measured alone."""
    return Node("switch", f"{settings.name}-switch", _address(settings, -2), 0.0, 0.0, 0.0)


def _address(settings: Settings, index: int) -> str:
    return str(ipaddress.ip_network(settings.network)[index])


def folder_of(settings: Settings) -> Path:
    return Path(settings.folder).absolute() / f"laboratory-{settings.name}"
