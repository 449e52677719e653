"""Real laboratories: host names, link rates, disconnected links, processor limits, and complete removal."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from laboratories import NAME, settings_for, traces

from lab import Laboratory
from lab.cluster import network, rates, state
from lab.cluster.processes import Process, end_all
from udfs.errors import InputError

SEND = """
import socket, time
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    try:
        line.sendto(bytes(100), ("node2", 9))
    except OSError:
        pass
    time.sleep(0.01)
"""
BUSY = """
import time
began, used = time.monotonic(), time.process_time()
while time.monotonic() - began < 2:
    pass
print((time.process_time() - used) / (time.monotonic() - began))
"""
# The process kills itself: no code of its own runs after that.
CRASH = """
import os, sys
from lab import Laboratory, load_settings
from lab.cluster import laboratory
def crash(*_):
    os.kill(os.getpid(), 9)
if sys.argv[1] == "building":
    laboratory.network.write_hosts = crash
created = Laboratory(load_settings(None, sys.argv[2:])).up()
created.hosts.start(created.hosts.nodes[0], "sleep", "1000")
crash()
"""


def wait_for(condition, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def lab(*words: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "lab", *words],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_nothing_is_left_behind(tmp_path):
    settings, before = settings_for(tmp_path, "cpus=1"), os.listdir("/sys/class/net")
    with Laboratory(settings) as laboratory:
        kinds = {"namespaces", "hosts files", "cgroups", "states", "files"}
        assert set(traces(tmp_path)) == kinds
        assert len(traces(tmp_path)["namespaces"]) == 4
        assert os.listdir("/sys/class/net") == before, "a link in the machine's network"
        # One process that is recorded, and one that has left its parent, its session and its standard output.
        known = laboratory.hosts.start(laboratory.hosts.nodes[0], "sleep", "1000")
        laboratory.hosts.run(
            laboratory.hosts.nodes[1], "sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $! > $0", f"{tmp_path}/pid"
        )
        stray = Process.of("stray", int((tmp_path / "pid").read_text()))
        assert known.poll() is None
        assert stray.is_alive()
    assert traces(tmp_path) == {}
    assert known.poll() == -signal.SIGKILL
    assert not stray.is_alive()


def test_a_host_has_its_own_name_and_sees_only_the_others(tmp_path):
    with Laboratory(settings_for(tmp_path, "nodes=3")) as laboratory:
        names = [laboratory.hosts.run(host, "hostname").strip() for host in laboratory.hosts]
        assert names == ["head", "node1", "node2", "node3"]
        entry = laboratory.hosts.run(laboratory.hosts.nodes[0], "getent", "hosts", "node3")
        assert entry.split() == ["10.77.0.4", "node3"]
        assert socket.gethostname() not in names
        interfaces = json.loads(laboratory.hosts.run(laboratory.hosts.nodes[0], "ip", "-j", "link"))
        assert [interface["ifname"] for interface in interfaces] == ["lo", "eth0"]
        with pytest.raises(RuntimeError, match="unreachable"):
            laboratory.hosts.run(laboratory.hosts.nodes[0], "ip", "route", "get", "192.0.2.1")


def test_links_carry_their_rate_and_no_more(tmp_path):
    """At least 70% in the best of several seconds, for busy machines, and never more than the payload of 96%."""
    settings = settings_for(tmp_path, "bandwidth_mbit=[10,100]", "verify_seconds=1", "head_bandwidth_mbit=20")
    with Laboratory(settings) as laboratory:
        best = {host: dict(link) for host, link in laboratory.status()["hosts"].items()}
        assert [best[name]["nominal_mbit"] for name in ("head", "node1", "node2")] == [20, 10, 100]
        deadline = time.monotonic() + 120
        for host in laboratory.hosts:
            link = best[host.name]
            while min(shares(link)) < 0.7 and time.monotonic() < deadline:
                link |= {way: max(link[way], rate) for way, rate in rates.measure(laboratory.hosts, host, 1).items()}
        laboratory.set_bandwidth([50, 0])
        changed = laboratory.verify(1)
    measured = [share for link in [*best.values(), changed["node1"]] for share in shares(link)]
    assert min(measured) > 0.7, best
    assert max(measured) < 1.04, best  # tc's bucket adds its content once
    assert changed["node2"]["measured_up_mbit"] > 200


def shares(link: dict) -> list[float]:
    return [link[f"measured_{way}_mbit"] / link["nominal_mbit"] for way in ("up", "down")]


def test_a_full_link_may_get_a_lower_rate(tmp_path):
    """Packets that wait at the higher rate are larger than the burst of the lower one."""
    with Laboratory(settings_for(tmp_path, "bandwidth_mbit=1000")) as laboratory, rates.server(laboratory.hosts):
        sender, _ = laboratory.hosts.nodes
        upload = ("iperf3", "--client", laboratory.hosts.switch.address, "--parallel", "8", "--time", "60")
        laboratory.hosts.start(sender, *upload)
        wait_for(lambda: sent(laboratory) > 10**7, "an upload")
        for mbit in (1000, 10) * 5:
            laboratory.set_bandwidth([mbit, mbit])
            enough = sent(laboratory) + 200_000
            wait_for(lambda enough=enough: sent(laboratory) > enough, f"packets at {mbit} Mbit/s", 20)


def sent(laboratory: Laboratory) -> int:
    return laboratory.traffic()["node1"][0]


def test_a_cut_link_carries_nothing_and_heals(tmp_path):
    with Laboratory(settings_for(tmp_path)) as laboratory:
        sender, receiver = laboratory.hosts.nodes

        def received() -> int:
            return laboratory.traffic()["node2"][1]

        laboratory.hosts.start(sender, sys.executable, "-c", SEND)
        wait_for(lambda: received() > 1000, "traffic before the cut")
        with laboratory.cut(receiver):
            assert laboratory.status()["hosts"]["node2"]["link"] == "cut"
            at_cut = received()
            time.sleep(0.5)
            assert received() == at_cut
        wait_for(lambda: received() > at_cut + 1000, "traffic after the cut")


def test_a_node_uses_at_most_its_share_of_the_processors(tmp_path):
    with Laboratory(settings_for(tmp_path, "cpus=[0.3,0]")) as laboratory:
        node = laboratory.hosts.nodes[0]
        assert float(laboratory.hosts.run(node, sys.executable, "-c", BUSY)) < 0.45
        with laboratory.uncapped():
            assert max(float(laboratory.hosts.run(node, sys.executable, "-c", BUSY)) for _ in range(3)) > 0.5
        assert float(laboratory.hosts.run(node, sys.executable, "-c", BUSY)) < 0.45


@pytest.mark.parametrize("when", ["building", "up"])
def test_a_crashed_laboratory_is_removed_by_the_next(tmp_path, when):
    settings = settings_for(tmp_path)
    words = [f"name={NAME}", f"folder={tmp_path}", "spark=false", "verify_seconds=0"]
    crashed = subprocess.run([sys.executable, "-c", CRASH, when, *words], cwd=ROOT)
    assert crashed.returncode == -signal.SIGKILL
    left = state.read(NAME)
    assert set(traces(tmp_path)) >= {"namespaces", "states"}
    # A laboratory of another name removes it too, since the process that owned it has ended.
    settings.name = f"{NAME}x"
    with Laboratory(settings):
        assert state.read(NAME) is None
        assert not any(network.exists(namespace) for namespace in left.namespaces)
        assert not any(process.is_alive() for process in left.processes)
    assert traces(tmp_path) == {}


def test_up_and_down_may_be_repeated(tmp_path):
    settings_for(tmp_path)
    words = ["up", f"name={NAME}", f"folder={tmp_path}", "spark=false", "verify_seconds=0"]
    try:
        first, again = lab(*words), lab(*words)
        assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
        assert json.loads(first.stdout)["hosts"]["node1"]["address"] == "10.77.0.2"
        assert "up already" in again.stderr
        other = lab(*words, "nodes=3")
        assert other.returncode == 2
        assert "python -m lab down" in other.stderr.splitlines()[-1]
        inside = lab("exec", "node2", "--name", NAME, "--", "sh", "-c", "hostname; exit 7")
        assert (inside.stdout, inside.returncode) == ("node2\n", 7)
    finally:
        down = lab("down", "--name", NAME)
    assert down.returncode == 0, down.stderr
    assert traces(tmp_path) == {}
    twice = lab("down", "--name", NAME)
    assert (twice.returncode, "nothing to take down" in twice.stderr) == (0, True)
    assert lab("status", "--name", NAME).returncode == 2


def test_an_interrupted_up_removes_everything(tmp_path):
    settings_for(tmp_path)
    words = ["up", f"name={NAME}", f"folder={tmp_path}", "spark=false", "verify_seconds=30"]
    starting = subprocess.Popen([sys.executable, "-m", "lab", *words], cwd=ROOT)
    wait_for(lambda: "files" in traces(tmp_path), "a laboratory")
    starting.terminate()
    assert starting.wait(60) == 143
    assert traces(tmp_path) == {}


def test_namespaces_of_other_programs_are_not_removed(tmp_path):
    settings = settings_for(tmp_path)
    namespace = f"{NAME}-node1"
    network.run("ip", "netns", "add", namespace)
    try:
        with pytest.raises(InputError, match=f"ip netns delete {namespace}"):
            Laboratory(settings).up()
        assert list(traces(tmp_path)) == ["namespaces"]
    finally:
        network.run("ip", "netns", "delete", namespace)


def test_another_process_with_a_recorded_pid_is_not_killed():
    with subprocess.Popen(["sleep", "1000"]) as bystander:
        known = Process.of("bystander", bystander.pid)
        end_all([Process("worker", known.pid, known.started - 1)], [], [])
        assert bystander.poll() is None
        end_all([known], [], [])
        assert bystander.wait(60) == -signal.SIGKILL
