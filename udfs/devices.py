"""What a Spark task may use of its machine: its cores, and its GPUs where Spark assigned any."""

from __future__ import annotations

import os
from contextlib import contextmanager


def task_gpus() -> list[str]:
    """Addresses of the GPUs that Spark assigned to the running task; none outside a task."""
    from pyspark import TaskContext

    context = TaskContext.get()
    resources = context.resources() if context else {}
    return list(resources["gpu"].addresses) if "gpu" in resources else []


def use_task_devices(cores: int, gpus: list[str] | None = None) -> None:
    """Limits TensorFlow in this process to a task's share: `cores` threads, and only the assigned GPUs.

    TensorFlow takes these settings before its first operation only; later calls in the same process change nothing.
    """
    gpus = task_gpus() if gpus is None else gpus
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus) if gpus else os.environ.get("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1" if gpus else "3")
    with _quiet_stderr():
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
def _quiet_stderr():
    """TensorFlow's native code greets on stderr before its log level applies; Python's errors are exceptions and pass."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
