"""What the laboratory needs of the machine, and what of it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from lab.cluster.cgroup import find_root
from lab.cluster.settings import Settings, head_of, nodes_of
from udfs.errors import InputError

PACKAGES = {"ip": "iproute2", "tc": "iproute2", "iperf3": "iperf3", "unshare": "util-linux", "hostname": "hostname"}
# Tried in namespaces without a name, which end with the command.
TRIALS = {
    "namespaces": "true",
    "a bridge": "ip link add name switch type bridge",
    "veth links": "ip link add name left type veth peer name right",
    "tc's tbf": "tc qdisc add dev lo root tbf rate 1mbit burst 16kb latency 50ms",
}
NETEM = "tc qdisc add dev lo root netem delay 1ms"


def missing(settings: Settings) -> list[str]:
    """What stands in the way of such a laboratory here, each with what to do; empty where nothing does."""
    if sys.platform != "linux":
        return ["Linux: the laboratory is made of its network namespaces; use a Linux machine"]
    if os.geteuid() != 0:
        return [f"root: found user {os.geteuid()}; run `sudo {sys.executable} -m lab ...`"]
    absent = {command: package for command, package in PACKAGES.items() if not shutil.which(command)}
    if absent:
        install = " ".join(sorted(set(absent.values())))
        return [f"{', '.join(absent)}: not found; Debian: `apt-get install {install}`"]
    found = [f"{what}: {error}" for what, trial in TRIALS.items() if (error := try_alone(trial))]
    hosts = [head_of(settings), *nodes_of(settings)]
    if any(host.delay_ms for host in hosts) and (error := try_alone(NETEM)):
        found.append(f"netem, for delay_ms: {error}; `modprobe sch_netem`, or set delay_ms=0")
    if any(host.cpus for host in hosts) and find_root() is None:
        found.append("cgroups, for cpus: the cpu controller is not mounted; mount cgroup2, or set cpus=0")
    return found


def try_alone(command: str) -> str:
    """Runs a command in new, nameless namespaces; what it complained of, or an empty text."""
    alone = ["unshare", "--net", "--uts", "--mount", "sh", "-c", command]
    done = subprocess.run(alone, capture_output=True, text=True)
    said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
    return "" if done.returncode == 0 else f"the kernel or the container refuses ({said})"


def require(settings: Settings) -> None:
    """Raises InputError that names all that is missing."""
    if found := missing(settings):
        raise InputError(f"laboratory: missing {'; '.join(found)}")
