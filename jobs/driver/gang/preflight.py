"""Checks what a gang needs before it starts, while the cause of a problem is still easy to name."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

from pyspark.sql import SparkSession

from conf import Settings
from jobs.driver.environment.python_versions import compared, versions
from udfs import files
from udfs.engine.addresses import host_of
from udfs.errors import InputError, one_line
from udfs.run_folder import RunFolder

ENCRYPTION = ("spark.network.crypto.enabled", "spark.ssl.rpc.enabled", "spark.ssl.enabled")
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def require_cluster(spark: SparkSession, settings: Settings, key: str = "train.workers") -> None:
    """Checks that so many tasks of barrier stages can run at once as a key of the configuration says.

    Args:
        key: `train.workers`, or `sweep.parallel` for gangs of one worker.

    Raises:
        InputError: If it cannot; the message names the key to change.
    """
    given = dict(spark.sparkContext.getConf().getAll())
    if given.get("spark.dynamicAllocation.enabled", "false").lower() == "true":
        raise InputError(
            "spark.dynamicAllocation.enabled: found true, but barrier stages need it false; "
            "add --conf spark.dynamicAllocation.enabled=false"
        )
    encrypted = [key for key in ENCRYPTION if given.get(key, "false").lower() == "true"]
    if encrypted and not settings.recovery.allow_plain_grpc:
        raise InputError(
            f"{encrypted[0]}: found true, but TensorFlow's workers exchange gradients over plain gRPC; set "
            "recovery.allow_plain_grpc=true if their network is trusted, or train with train.workers=1 on one host"
        )
    tasks = settings.train.workers if key == "train.workers" else settings.sweep.parallel
    wait_for_slots(spark, tasks, settings.recovery.start_timeout, key)


def wait_for_slots(spark: SparkSession, workers: int, seconds: float, key: str = "train.workers") -> None:
    """Waits until so many tasks can run at once, because executors may still be registering.

    Without this check, Spark would only log warnings about missing slots, for ten minutes.

    Raises:
        InputError: If there are too few slots after so many seconds.
    """
    master = spark.sparkContext.master
    is_local = master.startswith("local") and "cluster" not in master
    deadline = time.monotonic() + (0 if is_local else seconds)
    while (slots := task_slots(spark)) < workers:
        if time.monotonic() > deadline:
            remedy = f"--master local[{workers}]" if is_local else "more executors or cores (spark.cores.max)"
            raise InputError(
                f"{key}: found {workers}, but Spark ({master}) has {slots} task slots; "
                f"give {remedy}, lower spark.task.cpus, or set {key}={max(slots, 1)}"
            )
        time.sleep(0.5)


def task_slots(spark: SparkSession) -> int:
    """The number of tasks that can run at the same time now, as Spark's barrier check counts them."""
    context = spark.sparkContext._jsc.sc()
    return int(context.maxNumConcurrentTasks(context.resourceProfileManager().defaultResourceProfile()))


def require_members(spark: SparkSession, workers: int, folder: RunFolder, attempt: int, worker_bytes: int) -> None:
    """Checks from every task that it can use the run folder, has the driver's packages, and memory on its host.

    Args:
        attempt: An attempt whose file in the run folder the tasks read.
        worker_bytes: The memory that a worker needs.

    Raises:
        InputError: If a task cannot; the message names the key to change.
    """
    members = spark.sparkContext.parallelize(range(workers), workers).barrier()
    answers = members.mapPartitions(partial(_check_member, folder, attempt)).collect()
    for answer in answers:
        if answer["problem"]:
            raise InputError(
                f"paths.runs: a task on {answer['host']} cannot use {folder.uri} ({answer['problem']}); "
                "set paths.runs to a place that driver and executors share"
            )
        python = compared(answer["host"], answer["versions"])
        if python.verdict == "error":
            raise InputError(str(python))
    workers_on = Counter(answer["host"] for answer in answers)
    for answer in answers:
        needed = worker_bytes * workers_on[answer["host"]]
        if answer["free"] < needed:
            raise InputError(
                f"spark.executor.memoryOverhead: {answer['host']} has {_gigabytes(answer['free'])} free, but "
                f"{workers_on[answer['host']]} workers there need about {_gigabytes(needed)} beside Spark's heaps; raise it, "
                "lower spark.driver.memory or spark.executor.memory, or train.cache_bytes, train.workers or train.batch_size"
            )


def _check_member(folder: RunFolder, attempt: int, _: Iterator[Any]) -> Iterator[dict[str, Any]]:
    from pyspark import BarrierTaskContext

    context, problem = BarrierTaskContext.get(), None
    try:
        files.read_bytes(folder.attempt(attempt))
        probe = f"{folder.attempts}/probe-{os.urandom(6).hex()}"
        files.write_text(probe, "")
        files.delete(probe)
    except (OSError, ValueError, ImportError) as error:
        problem = one_line(error)
    host = host_of(context.getTaskInfos()[context.partitionId()].address)
    yield {"host": host, "problem": problem, "free": _free_bytes(), "versions": versions()}


def _free_bytes() -> int:
    """The memory that is still available on this host, or in the container that this is."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for path in CGROUP_LIMITS:
        try:
            with open(path) as stream:
                limit = int(stream.read())
        except (OSError, ValueError):
            continue
        free = min(free, limit)
    return free


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GB"
