"""What must hold before a gang starts, checked while it is still cheap to say what to change."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

from pyspark.sql import SparkSession

from conf import Settings
from udfs import files
from udfs.errors import InputError

ENCRYPTION = ("spark.network.crypto.enabled", "spark.ssl.rpc.enabled", "spark.ssl.enabled")
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def require_cluster(spark: SparkSession, settings: Settings) -> None:
    """Checks that a barrier stage of `train.workers` tasks can start here. Raises InputError that names the key to change."""
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
    wait_for_slots(spark, settings.train.workers, settings.recovery.start_timeout)


def wait_for_slots(spark: SparkSession, workers: int, seconds: float) -> None:
    """Waits until so many tasks can run at once, since executors may still be registering. Raises InputError.

    Spark itself would only warn about missing slots, for ten minutes.
    """
    master = spark.sparkContext.master
    is_local = master.startswith("local") and "cluster" not in master
    deadline = time.monotonic() + (0 if is_local else seconds)
    while (slots := task_slots(spark)) < workers:
        if time.monotonic() > deadline:
            more = f"--master local[{workers}]" if is_local else "more executors or cores (spark.cores.max)"
            raise InputError(
                f"train.workers: found {workers}, but Spark ({master}) has {slots} task slots; "
                f"give {more}, lower spark.task.cpus, or set train.workers={max(slots, 1)}"
            )
        time.sleep(0.5)


def task_slots(spark: SparkSession) -> int:
    """Tasks that can run at the same time now, counted as Spark's barrier check counts them."""
    context = spark.sparkContext._jsc.sc()
    return context.maxNumConcurrentTasks(context.resourceProfileManager().defaultResourceProfile())


def require_members(spark: SparkSession, workers: int, run_folder: str, probe: str, worker_bytes: int) -> None:
    """Asks every task of a gang whether it reads and writes the run folder, and whether its host has the memory.

    `probe` is a file of the run folder. Raises InputError that names the key to change.
    """
    members = spark.sparkContext.parallelize(range(workers), workers).barrier()
    answers = members.mapPartitions(partial(_answer, run_folder, probe)).collect()
    for answer in answers:
        if answer["problem"]:
            raise InputError(
                f"paths.runs: a task on {answer['host']} cannot use {run_folder} ({answer['problem']}); "
                "set paths.runs to a place that driver and executors share"
            )
    on_host = Counter(answer["host"] for answer in answers)
    for answer in answers:
        needed = worker_bytes * on_host[answer["host"]]
        if answer["free"] < needed:
            raise InputError(
                f"spark.executor.memoryOverhead: {answer['host']} has {_gigabytes(answer['free'])} free, but "
                f"{on_host[answer['host']]} workers there need about {_gigabytes(needed)} beside Spark's heaps; raise it, "
                "lower spark.driver.memory or spark.executor.memory, or lower train.workers or train.batch_size"
            )


def _answer(run_folder: str, probe: str, _: Iterator) -> Iterator[dict]:
    from pyspark import BarrierTaskContext

    context, problem = BarrierTaskContext.get(), None
    try:
        files.read_bytes(probe)
        mine = f"{run_folder}/attempts/probe-{os.urandom(6).hex()}"
        files.write_text(mine, "")
        files.delete(mine)
    except (OSError, ValueError, ImportError) as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    host = context.getTaskInfos()[context.partitionId()].address.rsplit(":", 1)[0]
    yield {"host": host, "problem": problem, "free": _free_bytes()}


def _free_bytes() -> int:
    """Memory that this host, or the container that this is, can still give."""
    import psutil

    free = psutil.virtual_memory().available
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
