import socket

import pytest

from udfs.engine.addresses import bare_host, free_port, host_of, join_address, listening_socket, without_proxy


@pytest.mark.parametrize(
    ("host", "bare", "address"),
    [
        ("10.0.0.1", "10.0.0.1", "10.0.0.1:80"),
        ("node-3.example", "node-3.example", "node-3.example:80"),
        ("::1", "::1", "[::1]:80"),
        ("[0:0:0:0:0:0:0:1]", "0:0:0:0:0:0:0:1", "[0:0:0:0:0:0:0:1]:80"),
    ],
)
def test_an_address_is_split_as_it_was_joined(host, bare, address):
    assert (bare_host(host), join_address(host, 80), host_of(address)) == (bare, address, bare)


@pytest.mark.parametrize("host", ["node", "10.0.0.1", "::1"])
def test_an_address_without_a_port_is_its_host(host):
    assert host_of(host) == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_families_reach_a_listening_socket(host):
    with listening_socket() as server, socket.create_connection((host, server.getsockname()[1]), 5):
        server.accept()[0].close()


def test_a_machine_without_ipv6_listens_on_ipv4(monkeypatch):
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with listening_socket() as server:
        assert server.family == socket.AF_INET
    assert free_port() > 0


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "10.0.0.1,::1"),
        ({"no_proxy": "localhost,10.0.0.1"}, "localhost,10.0.0.1,::1"),
        ({"no_proxy": "ignored", "no_grpc_proxy": "first"}, "first,10.0.0.1,::1"),
    ],
)
def test_the_gang_is_exempt_beside_what_already_is(monkeypatch, environment, expected):
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert without_proxy(["10.0.0.1:4000", "[::1]:4001", "10.0.0.1:4002"]) == {"no_grpc_proxy": expected}
