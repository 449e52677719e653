"""Keeps loaded networks in memory between the Spark tasks that reuse a Python worker process."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable
from typing import TypeVar

from udfs.devices import use_task_devices

Value = TypeVar("Value")

_kept: dict[Callable, tuple[tuple[Hashable, ...], object]] = {}


def load_once(load: Callable[..., Value], *arguments: Hashable, task_cores: int | None = None) -> Value:
    """Returns `load(*arguments)`, computed once per Python process.

    The process keeps one value per `load` function. A call with the same arguments returns that value; a call with
    other arguments releases it and loads its replacement. If `load` raises an exception, nothing is kept.

        network = load_once(load_network, extractor, weights_file, task_cores=2)

    Args:
        load: A module-level function; it identifies the kind of value.
        arguments: The arguments of `load`, compared by equality.
        task_cores: The CPU cores of the running Spark task. TensorFlow is limited to them, and to the task's GPUs, before
            `load` is called. None outside Spark tasks: the process keeps its device settings and its garbage collection.
    """
    key = (*arguments, task_cores)
    if load in _kept:
        kept_key, value = _kept[load]
        if kept_key == key:
            return value
        del _kept[load], kept_key, value
        if task_cores is not None:
            gc.unfreeze()  # or a released network would never be collected: its objects refer to each other
            gc.collect()
    if task_cores is not None:
        use_task_devices(task_cores)
    value = load(*arguments)
    if task_cores is not None:
        # Spark's Python worker collects garbage after each task, which takes half a second with all that TensorFlow loads.
        gc.freeze()
    _kept[load] = key, value
    return value
