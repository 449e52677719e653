"""The driver's socket, spoken to by the gang's members and by strangers. None of it needs Spark."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from contextlib import suppress

import psutil
import pytest

from jobs.driver.gang import admission
from jobs.driver.gang.event_server import EventServer
from udfs.engine.driver_link import STOP, DriverLink
from udfs.engine.events import Event, Heartbeat, encode


class Driver:
    """A server and what it has received."""

    def __init__(self, host: str = "127.0.0.1"):
        self.events: list[Event] = []
        self.lost: list[int] = []
        self.changed = threading.Condition()
        self.server = EventServer(
            host, lambda event: self.note(self.events, event), lambda rank: self.note(self.lost, rank)
        )

    def note(self, notes: list, value) -> None:
        with self.changed:
            notes.append(value)
            self.changed.notify_all()

    def wait_for(self, condition) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, 10), (self.events, self.lost)

    def stranger(self, sent: bytes = b"") -> socket.socket:
        connection = socket.create_connection((self.server.address["host"], self.server.address["port"]), 5)
        connection.sendall(sent)
        return connection

    def serves_a_member(self) -> None:
        """Whether a member's event still arrives, within two seconds."""
        began, number = time.monotonic(), len(self.events)
        link = DriverLink(**self.server.address)
        link.send(Heartbeat(3, "running"))
        self.wait_for(lambda: len(self.events) > number)
        assert self.events[number] == Heartbeat(3, "running")
        assert time.monotonic() - began < 2


@pytest.fixture
def driver():
    driver = Driver()
    with driver.server:
        yield driver


def is_closed(connection: socket.socket, seconds: float = 5) -> bool:
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[0:0:0:0:0:0:0:1]"])
def test_events_of_a_member_arrive_and_its_end_is_noticed(host):
    driver = Driver(host)
    with driver.server:
        link = DriverLink(**driver.server.address)
        for state in ("running", "stopped"):
            link.send(Heartbeat(1, state))
        driver.wait_for(lambda: len(driver.events) == 2)
        assert driver.events == [Heartbeat(1, "running"), Heartbeat(1, "stopped")]
        link._socket.close()
        driver.wait_for(lambda: driver.lost == [1])


def test_a_member_is_told_when_the_driver_ends_the_attempt(driver):
    link = DriverLink(**driver.server.address)
    link.send(Heartbeat(1, "running"))
    driver.wait_for(lambda: driver.events)
    assert not link.is_closed(0)
    driver.server.disconnect()
    assert link.is_closed(5)


def test_a_member_that_connects_after_the_others_were_stopped_is_stopped_too(driver):
    early = DriverLink(**driver.server.address)
    early.send(Heartbeat(0, "running"))
    driver.wait_for(lambda: driver.events)
    driver.server.disconnect(STOP)
    late = DriverLink(**driver.server.address)
    for link in (early, late):
        assert link.is_closed(5)
        assert link.is_stopped


def test_a_member_whose_driver_is_gone_is_not_stopped_but_lost(driver):
    link = DriverLink(**driver.server.address)
    link.send(Heartbeat(0, "running"))
    driver.wait_for(lambda: driver.events)
    driver.server.disconnect()
    assert link.is_closed(5)
    assert not link.is_stopped


def test_a_token_in_several_pieces_is_one(driver):
    token = driver.server.address["token"]
    connection = driver.stranger(token[:5].encode())
    time.sleep(0.05)
    connection.sendall(token[5:].encode() + b"\n" + encode(Heartbeat(2, "running")).encode() + b"\n")
    driver.wait_for(lambda: driver.events == [Heartbeat(2, "running")])


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"0" * 32 + b"\n" + encode(Heartbeat(0, "running")).encode() + b"\n", id="wrong token"),
        pytest.param(b"\n" + encode(Heartbeat(0, "running")).encode() + b"\n", id="no token"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", id="a web client"),
        pytest.param(bytes(range(256)) * 1000, id="garbage"),
        pytest.param(b"a" * 1_000_000, id="a line without end"),
    ],
)
def test_a_stranger_is_closed_and_nothing_of_it_is_an_event(driver, sent):
    connection = driver.stranger()
    with suppress(OSError):  # closed while it sends
        connection.sendall(sent)
    assert is_closed(connection)
    driver.serves_a_member()
    assert driver.events == [Heartbeat(3, "running")]
    assert driver.lost in ([], [3])


def test_a_token_without_its_last_byte_is_wrong(driver):
    token = driver.server.address["token"].encode()
    for wrong in (token[:-1] + b"\n", token + b"0\n", token.upper() + b" \n"):
        assert is_closed(driver.stranger(wrong))


def test_slow_bytes_end_with_the_time_for_the_token(driver, monkeypatch):
    """The time counts from the connection on: a byte now and then does not prolong it."""
    monkeypatch.setattr(admission, "TOKEN_SECONDS", 0.5)
    monkeypatch.setattr(admission, "POLL_SECONDS", 0.05)
    token, connection = driver.server.address["token"], driver.stranger()
    began = time.monotonic()
    with suppress(BrokenPipeError, ConnectionResetError):
        for byte in token.encode() + b"\n":
            connection.sendall(bytes([byte]))
            time.sleep(0.1)
    assert time.monotonic() - began < 3
    assert driver.events == []


def test_a_thousand_strangers_cost_a_bounded_number_of_files_and_no_thread(driver):
    process = psutil.Process()
    threads, strangers = threading.active_count(), []
    driver.serves_a_member()
    files = process.num_fds()
    try:
        for number in range(1000):
            strangers.append(driver.stranger(secrets.token_bytes(number % 20).replace(b"\n", b"")))
        driver.serves_a_member()
        ours = process.num_fds() - files - len(strangers)
        assert ours <= admission.MOST_WAITING + 8
        assert threading.active_count() <= threads + 4
        assert sum(not is_closed(stranger, 0.001) for stranger in strangers[-100:]) == 100, "the newest may still speak"
        assert is_closed(strangers[0])
    finally:
        for stranger in strangers:
            stranger.close()


def test_a_member_that_sends_no_event_is_lost_alone(driver):
    """With the token comes trust, but a broken line ends no more than its own connection."""
    link = DriverLink(**driver.server.address)
    link.send(Heartbeat(1, "running"))
    driver.wait_for(lambda: driver.events)
    link._socket.sendall(b'{"kind": "none such"}\n')
    driver.wait_for(lambda: driver.lost == [1])
    driver.serves_a_member()
