"""Starts a gang of workers as one barrier stage, ends it if it hangs, and restarts it after the loss of a worker."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from conf import Settings
from jobs.driver.gang.event_server import EventServer
from jobs.driver.gang.lease import Lease
from jobs.driver.gang.preflight import wait_for_slots
from jobs.driver.gang.watchdog import GangWatchdog
from udfs.engine.driver_link import STOP
from udfs.engine.events import FATAL, Event, Failed
from udfs.engine.plan import Plan
from udfs.engine.supervisor import run_member
from udfs.errors import InputError

LOG = logging.getLogger("train")
LONGEST_PAUSE = 60.0
CANCEL_SECONDS = 10.0
LAST_EVENTS_SECONDS = 3.0


class GangFailed(RuntimeError):
    """An attempt ended without a result. The message names the worker and ends with its last log lines."""

    def __init__(self, failure: Failed):
        self.failure = failure
        super().__init__(failure.error + (f"; its last lines:\n{failure.lines}" if failure.lines else ""))


class GangStopped(RuntimeError):
    """The gang was ended because the driver no longer wants its result."""


@dataclass(frozen=True)
class GangControl:
    """What the driver decides about a gang besides its plan.

    Attributes:
        cores: Threads of each worker; 0 for `spark.task.cpus`.
        stop: Ends the gang once it is set, within two seconds or so. The workers' last checkpoint remains.
    """

    cores: int = 0
    stop: threading.Event = field(default_factory=threading.Event)


def run_gang(
    spark: SparkSession,
    plan: Plan,
    settings: Settings,
    lease: Lease,
    receive: Callable[[Event], None],
    control: GangControl | None = None,
) -> list[dict[str, Any]]:
    """Trains a plan with `train.workers` workers.

    Spark never restarts a failed barrier result stage, so this function does, up to `recovery.max_restarts` times with growing
    pauses. The workers continue from their last checkpoint.

    Args:
        lease: The driver's lease on the run; every restart is a new attempt.
        receive: Called with the workers' events.
        control: The workers' threads, and how to stop them early.

    Returns:
        Each worker's summary, by rank.

    Raises:
        GangFailed: If the last attempt failed.
        GangStopped: If the driver stopped the gang before it was done.
        InputError: If another attempt would fail in the same way.
    """
    recovery, control = settings.recovery, control or GangControl()
    for restart in range(recovery.max_restarts + 1):
        if restart:
            wait_for_slots(spark, settings.train.workers, recovery.start_timeout)
            lease.begin_attempt()
        try:
            return _run_attempt(spark, plan, settings, lease.attempt, receive, control)
        except GangFailed as error:
            failure = error.failure
            if failure.why in FATAL:
                raise InputError(failure.error) from error
            if restart == recovery.max_restarts:
                raise
            pause = min(recovery.restart_pause * 2**restart, LONGEST_PAUSE)
            LOG.warning(
                f"attempt {lease.attempt} failed: {failure.error}; restarting in {pause:.0f} s from the last checkpoint "
                f"({recovery.max_restarts - restart} restarts left)"
            )
        if control.stop.wait(pause):
            raise GangStopped(f"stopped by the driver after attempt {lease.attempt}")
    raise AssertionError("unreachable")


def _run_attempt(
    spark: SparkSession,
    plan: Plan,
    settings: Settings,
    attempt: int,
    receive: Callable[[Event], None],
    control: GangControl,
) -> list[dict[str, Any]]:
    workers, recovery = settings.train.workers, settings.recovery
    cores = control.cores or int(spark.sparkContext.getConf().get("spark.task.cpus", "1") or 1)
    watchdog = GangWatchdog(workers, recovery.start_timeout, recovery.stall_timeout)

    def receive_event(event: Event) -> None:
        watchdog.receive(event)
        receive(event)

    members = spark.sparkContext.parallelize(range(workers), workers).barrier()
    host = spark.conf.get("spark.driver.host") or socket.gethostname()
    with EventServer(host, receive_event, watchdog.lost) as server, _guarded(spark, watchdog, server, control.stop):
        run = partial(run_member, plan.to_json(), server.address, attempt, cores)
        try:
            summaries = members.mapPartitions(run).collect()
        except Py4JJavaError as error:
            if control.stop.is_set():
                raise GangStopped(f"stopped by the driver in attempt {attempt}") from error
            server.disconnect()
            server.wait_for_last_events(LAST_EVENTS_SECONDS)
            raise GangFailed(watchdog.cause() or _spark_failure(error)) from error
    if not all(summaries):
        raise GangStopped(f"stopped by the driver in attempt {attempt}")
    return summaries


@contextmanager
def _guarded(spark: SparkSession, watchdog: GangWatchdog, server: EventServer, stop: threading.Event) -> Iterator[None]:
    """Ends the stage that is started inside if it hangs or is stopped: disconnects its members, then cancels it."""
    context, ended, group = spark.sparkContext, threading.Event(), f"training-{id(watchdog)}"

    def guard() -> None:
        while not ended.wait(0.5):
            if stop.is_set() or watchdog.must_end():
                server.disconnect(STOP if stop.is_set() else b"")
                if not ended.wait(CANCEL_SECONDS):
                    context.cancelJobGroup(group)
                return

    context.setJobGroup(group, "training", interruptOnCancel=True)
    threading.Thread(target=guard, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        context.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]  # None removes the property


def _spark_failure(error: Py4JJavaError) -> Failed:
    """A failure that no member reported, in Spark's words."""
    text = str(error.java_exception.getMessage())
    return Failed(0, "crashed", text.splitlines()[0][:500], text)
