"""Checks that the machine has everything that a laboratory needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from lab.cluster.cgroup import find_root
from lab.cluster.settings import LaboratorySettings, head_of, nodes_of
from udfs.errors import InputError

PACKAGES = {"ip": "iproute2", "tc": "iproute2", "iperf3": "iperf3", "unshare": "util-linux", "hostname": "hostname"}
# Each command runs in unnamed namespaces, which end with it.
TRIALS = {
    "namespaces": "true",
    "a bridge": "ip link add name switch type bridge",
    "veth links": "ip link add name left type veth peer name right",
    "tc's tbf": "tc qdisc add dev lo root tbf rate 1mbit burst 16kb latency 50ms",
}
NETEM = "tc qdisc add dev lo root netem delay 1ms"


def missing(settings: LaboratorySettings) -> list[str]:
    """What the machine lacks for such a laboratory, each with how to provide it; empty if it lacks nothing."""
    if sys.platform != "linux":
        return ["Linux: the laboratory needs its network namespaces; use a Linux machine"]
    if os.geteuid() != 0:
        return [f"root: found user {os.geteuid()}; run `sudo {sys.executable} -m lab ...`"]
    absent = {command: package for command, package in PACKAGES.items() if not shutil.which(command)}
    if absent:
        install = " ".join(sorted(set(absent.values())))
        return [f"{', '.join(absent)}: not found; Debian: `apt-get install {install}`"]
    problems = [f"{part}: {error}" for part, command in TRIALS.items() if (error := _try_in_namespaces(command))]
    hosts = [head_of(settings), *nodes_of(settings)]
    if any(host.delay_ms for host in hosts) and (error := _try_in_namespaces(NETEM)):
        problems.append(f"netem, for delay_ms: {error}; run `modprobe sch_netem`, or set delay_ms=0")
    if any(host.cpus for host in hosts) and find_root() is None:
        problems.append("cgroups, for cpus: the cpu controller is not mounted; mount cgroup2, or set cpus=0")
    return problems


def _try_in_namespaces(command: str) -> str:
    """Runs a command in new, unnamed namespaces. Returns its error, or an empty text if it succeeds."""
    unshare = ["unshare", "--net", "--uts", "--mount", "sh", "-c", command]
    done = subprocess.run(unshare, capture_output=True, text=True)
    output = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
    return "" if done.returncode == 0 else f"the kernel or the container refuses ({output})"


def require(settings: LaboratorySettings) -> None:
    """Raises InputError that lists everything that is missing."""
    if problems := missing(settings):
        raise InputError(f"laboratory: missing {'; '.join(problems)}")
