"""The trained model as the bytes of a .keras file."""

from __future__ import annotations

import os
import tempfile

from udfs.engine.arrays import Array
from udfs.engine.replica import set_precision
from udfs.engine.task import Task


def model_bytes(task: Task, weights: list[Array]) -> bytes:
    """The task's model with these weights, in float32 whatever it was trained in."""
    set_precision("float32")
    model = task.build_model()
    for variable, array in zip(model.trainable_variables, weights, strict=True):
        variable.assign(array.astype("float32"))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        model.save(path)
        with open(path, "rb") as stream:
            return stream.read()
