"""Starts a gang of workers as one barrier stage, ends it when it hangs, and starts it again when a worker is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from conf import Settings
from jobs.driver.gang.event_server import ReportServer
from jobs.driver.gang.lease import Lease
from jobs.driver.gang.preflight import wait_for_slots
from jobs.driver.gang.watchdog import GangWatch
from udfs.engine.plan import Plan
from udfs.engine.supervisor import run_member
from udfs.errors import InputError

LONGEST_PAUSE = 60.0
HOPELESS = ("input", "superseded")  # the same would come of it again
CANCEL_SECONDS = 10.0
LAST_WORDS_SECONDS = 3.0


class GangFailed(RuntimeError):
    """An attempt ended without a result; `why` says how, the message who, with the last lines of that worker."""

    def __init__(self, failure: dict):
        self.why, self.brief = failure["why"], failure["error"]
        super().__init__(self.brief + (f"; its last lines:\n{failure['lines']}" if failure["lines"] else ""))


def run_gang(
    spark: SparkSession,
    plan: Plan,
    settings: Settings,
    lease: Lease,
    view: Callable[[dict], None],
    say: Callable[[str], None],
) -> list[dict]:
    """Trains a plan with `settings.train.workers` workers and returns each one's result, in order of rank.

    `view` receives the workers' events. Spark never starts a failed barrier result stage again, so that is done here, up to
    `max_restarts` times with a growing pause; the workers go on from their last checkpoint.
    Raises GangFailed after the last attempt, InputError where another attempt would fail alike.
    """
    for restart in range(settings.recovery.max_restarts + 1):
        if restart:
            wait_for_slots(spark, settings.train.workers, settings.recovery.start_timeout)
            lease.begin_attempt()
        try:
            return _attempt(spark, plan, settings, lease.attempt, view)
        except GangFailed as failure:
            if failure.why in HOPELESS:
                raise InputError(failure.brief) from failure
            if restart == settings.recovery.max_restarts:
                raise
            pause = min(settings.recovery.restart_pause * 2**restart, LONGEST_PAUSE)
            say(
                f"attempt {lease.attempt} failed: {failure.brief}; starting again in {pause:.0f} s from the last "
                f"checkpoint ({settings.recovery.max_restarts - restart} restarts left)"
            )
        time.sleep(pause)
    raise AssertionError("unreachable")


def _attempt(
    spark: SparkSession, plan: Plan, settings: Settings, attempt: int, view: Callable[[dict], None]
) -> list[dict]:
    cores = int(spark.sparkContext.getConf().get("spark.task.cpus", "1"))
    watch = GangWatch(settings.train.workers, settings.recovery.start_timeout, settings.recovery.stall_timeout)

    def receive(event: dict) -> None:
        watch.receive(event)
        view(event)

    members = spark.sparkContext.parallelize(range(settings.train.workers), settings.train.workers).barrier()
    with ReportServer(spark, receive, watch.lost) as server, _guarded(spark, watch, server):
        work = partial(run_member, plan.to_json(), server.call, attempt, cores)
        try:
            return members.mapPartitions(work).collect()
        except Py4JJavaError as error:
            server.hang_up()
            server.wait_for_last_words(LAST_WORDS_SECONDS)
            raise GangFailed(watch.blame() or _unheard(error)) from error


@contextmanager
def _guarded(spark: SparkSession, watch: GangWatch, server: ReportServer):
    """Ends the stage that is started inside when it hangs: by hanging up on its members, then by cancelling it."""
    context, over, group = spark.sparkContext, threading.Event(), f"training-{id(watch)}"

    def guard() -> None:
        while not over.wait(0.5):
            if watch.must_end():
                server.hang_up()
                if not over.wait(CANCEL_SECONDS):
                    context.cancelJobGroup(group)
                return

    context.setJobGroup(group, "training", interruptOnCancel=True)
    threading.Thread(target=guard, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        context.setLocalProperty("spark.jobGroup.id", None)


def _unheard(error: Py4JJavaError) -> dict:
    """A failure of which no member could tell: Spark's own words."""
    text = str(error.java_exception.getMessage())
    return {"why": "crashed", "error": text.splitlines()[0][:500], "lines": text}
