"""What the driver makes of its workers' events; the gang's own tests send them for real."""

import time

import pytest

from jobs.driver.gang.watchdog import SILENCE_SECONDS, GangWatchdog
from udfs.engine.events import Failed, Finished, Heartbeat, Placed, Ready, Step


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def watch(clock) -> GangWatchdog:
    found = GangWatchdog(2, start_timeout=100, stall_timeout=30)
    for rank in (0, 1):
        found.receive(Placed(rank, f"host-{rank}:1"))
    return found


def both_ready(watch) -> None:
    for rank in (0, 1):
        watch.receive(Ready(rank, 1, 0, "1 CPU threads"))


def step(rank: int, number: int) -> Step:
    return Step(rank, 1, number, 9, 3.0, 1.0)


def test_a_gang_has_time_to_assemble_but_not_for_ever(watch, clock):
    watch.receive(Ready(0, 1, 0, "1 CPU threads"))
    clock[0] += 99
    assert not watch.must_end()
    clock[0] += 2
    assert watch.must_end()
    assert watch.cause().error == (
        "recovery.start_timeout: 1 of 2 workers were ready after 100 s; missing: worker 1 on host-1:1"
    )


def test_a_gang_that_moves_goes_on(watch, clock):
    both_ready(watch)
    for number in range(9):
        clock[0] += 29
        for rank in (0, 1):
            watch.receive(step(rank, number))
        assert not watch.must_end()


def test_the_stopped_worker_is_named_and_not_the_one_that_waits(watch, clock):
    both_ready(watch)
    watch.receive(step(1, 4))
    clock[0] += 31
    for rank, state in ((0, "sleeping"), (1, "stopped")):
        watch.receive(Heartbeat(rank, state))
    assert watch.must_end()
    watch.receive(Failed(0, "killed", "e", "of 0"))
    watch.receive(Failed(1, "killed", "e", "of 1"))
    cause = watch.cause()
    assert cause.error == (
        "recovery.stall_timeout: no step for 30 s, waiting for worker 1 on host-1:1, at epoch 1, step 4: its process is stopped"
    )
    assert cause.lines == "of 1"


def test_a_worker_whose_task_is_silent_is_named(watch, clock):
    both_ready(watch)
    clock[0] += max(31, SILENCE_SECONDS + 1)
    watch.receive(Heartbeat(0, "running"))
    assert watch.must_end()
    assert "waiting for worker 1 on host-1:1" in watch.cause().error
    assert "has sent nothing for 31 s" in watch.cause().error


def test_the_first_failure_is_the_cause(watch):
    both_ready(watch)
    watch.lost(1)
    watch.receive(Failed(0, "crashed", "peer is gone", ""))
    watch.lost(0)
    assert watch.cause().error == "worker 1 on host-1:1 was lost with its executor, before its first step"


def test_a_line_that_ends_after_its_worker_finished_is_no_loss(watch):
    both_ready(watch)
    watch.receive(Finished(1))
    watch.lost(1)
    assert watch.cause() is None


def test_a_non_retryable_failure_counts_more_than_a_stopped_peer(watch):
    both_ready(watch)
    watch.receive(Heartbeat(1, "stopped"))
    watch.receive(Failed(0, "input", "nan", ""))
    assert watch.cause().why == "input"
