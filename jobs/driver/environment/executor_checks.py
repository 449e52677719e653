"""Checks from inside Spark tasks, which take seconds; only `jobs/doctor.py` runs them."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

from pyspark.sql import SparkSession

from jobs.driver.environment.check import Check
from jobs.driver.environment.process_checks import proxy_check, scratch_check, scratch_folders
from jobs.driver.environment.python_versions import compared, explained, versions
from udfs.errors import InputError, one_line


def executor_checks(spark: SparkSession) -> list[Check]:
    """Checks each host that tasks run on: its Python and packages, its encoding, its proxies, its scratch folders, and Keras."""
    slots = max(1, spark.sparkContext.defaultParallelism)
    try:
        answers = spark.sparkContext.parallelize(range(slots), slots).mapPartitions(examine).collect()
    except Exception as error:
        reason = explained(error) or error
        return [Check("tasks in Python", "error", one_line(reason, 400), "see the message; every job needs such tasks")]
    hosts = {answer["host"]: answer for answer in answers}
    return [check for host, answer in sorted(hosts.items()) for check in host_checks(host, answer)]


def host_checks(host: str, answer: dict[str, Any]) -> list[Check]:
    """The checks of one host, from what `examine` found there."""
    encoding, network = answer["encoding"], answer["keras"]
    advice = "" if encoding == "utf-8" else "set LC_ALL=C.UTF-8 in the executors' environment"
    return [
        compared(f"{host}: {answer['python']}", answer["versions"]),
        Check(f"encoding on {host}", "warning" if advice else "ok", f"{encoding}, LC_ALL={answer['locale']}", advice),
        Check(f"Keras on {host}", "error" if network["problem"] else "ok", network["problem"] or network["found"],
              "correct the executors' environment" if network["problem"] else ""),
        *(Check(f"{check['name']} on {host}", check["verdict"], check["found"], check["advice"]) for check in answer["checks"]),
    ]  # fmt: skip


def examine(_: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """What a task finds in its process and on its host."""
    checks = [proxy_check(), *(scratch_check(folder) for folder in scratch_folders(None))]
    yield {
        "host": socket.gethostname(),
        "python": sys.executable,
        "versions": versions(),
        "encoding": sys.getfilesystemencoding().lower(),
        "locale": os.environ.get("LC_ALL", ""),
        "keras": _keras(),
        "checks": [vars(check) for check in checks],
    }


def _keras() -> dict[str, str]:
    try:
        from udfs.devices import use_task_devices

        use_task_devices(1)
        import tensorflow as tf

        from udfs.keras_setup import keras
    except (ImportError, InputError) as error:
        return {"found": "", "problem": one_line(error)}
    gpus = len(tf.config.list_physical_devices("GPU"))
    found = f"keras {keras.__version__} on {keras.backend.backend()}, {keras.config.image_data_format()}, {gpus} GPUs"
    return {"found": found, "problem": ""}
