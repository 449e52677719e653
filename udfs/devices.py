"""Limits TensorFlow to a Spark task's share of its machine: the task's cores, and the GPUs that Spark assigned to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def task_gpus() -> list[str]:
    """Returns the addresses of the GPUs that Spark assigned to the running task; an empty list outside a task."""
    from pyspark import TaskContext

    context = TaskContext.get()
    resources = context.resources() if context else {}
    return list(resources["gpu"].addresses) if "gpu" in resources else []


def use_task_devices(cores: int, gpus: list[str] | None = None) -> None:
    """Limits TensorFlow in this process to `cores` threads and to the assigned GPUs.

    TensorFlow accepts these settings only before its first operation. In a process that already runs TensorFlow the call
    has no effect on threads and GPUs.

    Args:
        cores: The number of threads that one operation may use.
        gpus: Addresses of the GPUs to use; None for those of the running Spark task. If the list is empty, the GPUs in
            the environment's CUDA_VISIBLE_DEVICES are used, and none if it is not set.
    """
    gpus = task_gpus() if gpus is None else gpus
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus) if gpus else os.environ.get("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1" if gpus else "3")
    with _silent_stderr():
        import tensorflow as tf

        tf.config.list_physical_devices()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(cores)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # TensorFlow already runs in this reused Python worker
        return
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discards what native code writes to stderr: TensorFlow prints notices there before its log level applies."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
