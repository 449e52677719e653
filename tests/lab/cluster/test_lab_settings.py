"""The laboratory's settings, the check of the machine, and the cgroup's files, without root."""

from __future__ import annotations

import os
import shutil

import pytest

from lab.cluster import cgroup
from lab.cluster.machine import PACKAGES, missing
from lab.cluster.settings import head_of, load_settings, nodes_of
from udfs.errors import InputError


def test_the_shipped_configuration_loads():
    assert load_settings("lab/cluster/lab.yaml", ["nodes=3"]).nodes == 3


def test_one_value_is_for_all_nodes_and_a_list_for_each():
    nodes = nodes_of(load_settings(None, ["nodes=3", "bandwidth_mbit=[10,100,0]", "cpus=0.5"]))
    assert [node.name for node in nodes] == ["node1", "node2", "node3"]
    assert [node.bandwidth_mbit for node in nodes] == [10, 100, 0]
    assert [node.cpus for node in nodes] == [0.5] * 3


def test_addresses_are_distinct_and_in_the_network():
    settings = load_settings(None, ["nodes=100", "network=172.20.8.0/22"])
    addresses = [host.address for host in (head_of(settings), *nodes_of(settings))]
    assert addresses[:2] == ["172.20.8.1", "172.20.8.2"]
    assert len(set(addresses)) == 101


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("node=3", ["node", "nodes"]),
        ("nodes=0", ["nodes", "0", "from 1 to"]),
        ("nodes=many", ["nodes", "many"]),
        ("nodes", ["nodes", "found nothing"]),
        ("bandwidth_mbit=-1", ["bandwidth_mbit", "-1", "at least 0"]),
        ("bandwidth_mbit=[1,2,3]", ["bandwidth_mbit", "3 values", "nodes=2"]),
        ("name=../x", ["name", "../x"]),
        ("network=10.77.0.1/24", ["network", "10.77.0.1/24"]),
        ("network=10.77.0.0/30", ["network", "10.77.0.0/30", "4 hosts"]),
        ("cpus=nan", ["cpus", "nan"]),
    ],
)
def test_an_impossible_setting_is_named(override, words):
    with pytest.raises(InputError) as error:
        load_settings(None, [override])
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_a_missing_program_is_reported_with_how_to_install_it(tmp_path, monkeypatch):
    for command in PACKAGES:
        if command != "iperf3":
            (tmp_path / command).symlink_to(shutil.which("true"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert missing(load_settings()) == ["iperf3: not found; Debian: `apt-get install iperf3`"]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (problem,) = missing(load_settings())
    assert "root: found user 1000; run `sudo " in problem


def test_the_cpu_controller_is_found_in_either_version(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io\n")
    first = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n"
    accounting = "cgroup /sys/fs/cgroup/cpuacct cgroup rw,relatime,cpuacct 0 0\n"
    second = f"cgroup2 {tmp_path} cgroup2 rw 0 0\n"
    assert cgroup.find_root(accounting + first).version == 1
    assert cgroup.find_root(accounting + second) == cgroup.Root(tmp_path, 2)
    assert cgroup.find_root(accounting) is None


def test_a_share_under_version_2_is_a_quota_of_each_period(tmp_path):
    """Uses plain files. On machines with version 2, tests/lab/cluster/test_laboratory.py measures the limit."""
    (tmp_path / "cgroup.subtree_control").write_text("memory")
    group = cgroup.create(cgroup.Root(tmp_path, 2), "lab-node1", 0.85)
    assert (group / "cpu.max").read_text() == "8500 10000"
    cgroup.create(cgroup.Root(tmp_path, 2), "lab-node1", 0.04)
    assert (group / "cpu.max").read_text() == "1000 25000"  # the kernel's smallest quota is a millisecond
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu"
