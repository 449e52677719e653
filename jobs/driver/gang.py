"""Starts a gang of workers as one barrier stage, and again when a worker is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from jobs.driver.reports import ReportServer
from udfs.errors import InputError
from udfs.member import run_member
from udfs.plan import Plan

BACK_OFF_SECONDS = 2.0


def require_gang(spark: SparkSession, workers: int, wait_seconds: float) -> None:
    """Checks that a barrier stage of so many tasks can start. Raises InputError that names the key to change.

    Spark itself would only warn about missing slots, for ten minutes. Executors may still be registering, so up to
    `wait_seconds` are spent on waiting for them.
    """
    if spark.sparkContext.getConf().get("spark.dynamicAllocation.enabled", "false").lower() == "true":
        raise InputError(
            "spark.dynamicAllocation.enabled: found true, but barrier stages need it false; "
            "add --conf spark.dynamicAllocation.enabled=false"
        )
    deadline = time.monotonic() + (0 if _is_local(spark) else wait_seconds)
    while (slots := task_slots(spark)) < workers:
        if time.monotonic() > deadline:
            more = f"--master local[{workers}]" if _is_local(spark) else "more executors or cores"
            raise InputError(
                f"train.workers: found {workers}, but Spark ({spark.sparkContext.master}) has {slots} task slots; "
                f"give {more}, lower spark.task.cpus, or set train.workers={max(slots, 1)}"
            )
        time.sleep(0.5)


def task_slots(spark: SparkSession) -> int:
    """Tasks that can run at the same time now, counted as Spark's barrier check counts them."""
    context = spark.sparkContext._jsc.sc()
    return context.maxNumConcurrentTasks(context.resourceProfileManager().defaultResourceProfile())


def run_gang(
    spark: SparkSession, plan: Plan, workers: int, restarts: int, watch: Callable[[dict], None], say
) -> list[dict]:
    """Trains a plan with so many workers and returns each one's result, in order of rank.

    `watch` receives the workers' events. Spark never starts a failed barrier result stage again, so that is done here,
    up to `restarts` times with a growing pause; the workers go on from their last checkpoint.
    """
    cores = int(spark.sparkContext.getConf().get("spark.task.cpus", "1"))
    for attempt in range(restarts + 1):
        with ReportServer(spark, watch) as server:
            member = partial(run_member, plan.to_json(), server.address, cores)
            try:
                return spark.sparkContext.parallelize(range(workers), workers).barrier().mapPartitions(member).collect()
            except Py4JJavaError as error:
                if attempt == restarts:
                    raise
                pause = BACK_OFF_SECONDS * 2**attempt
                say(
                    f"attempt {attempt + 1} failed ({_cause(error)}); starting again in {pause:.0f} s from the last checkpoint"
                )
        time.sleep(pause)
    raise AssertionError("unreachable")


def _cause(error: Py4JJavaError) -> str:
    lines = [
        line for line in str(error.java_exception.getMessage()).splitlines() if "Error" in line or "worker " in line
    ]
    return (lines[-1] if lines else str(error.java_exception.getMessage()).splitlines()[0]).strip()[:300]


def _is_local(spark: SparkSession) -> bool:
    return spark.sparkContext.master.startswith("local") and "cluster" not in spark.sparkContext.master
