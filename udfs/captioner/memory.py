"""How much memory a worker needs to train the captioner."""

from __future__ import annotations

from udfs.captioner.training import CaptionerTask
from udfs.engine.plan import Plan

TENSORFLOW_BYTES = 700 * 2**20
NUMBER_BYTES = {"float32": 4, "float64": 8, "mixed_bfloat16": 4}


def worker_bytes(task: CaptionerTask, plan: Plan, workers: int) -> int:
    """An upper estimate of the memory of one of so many workers, in bytes.

    It counts TensorFlow itself; every weight with its gradient, the sum of it, two numbers of the optimizer, and copies for a
    checkpoint; a file of each of the worker's shards, with the copy that petastorm makes; and the activations of its part of a
    batch.
    """
    shape = task.shape
    weights = 10 * shape.parameters
    rows = sum(max((file.rows for file in shard), default=0) for shard in plan.train.shards[::workers])
    examples = 3 * rows * (shape.feature_size + 5 * task.width)
    captions = -(-plan.batch_size // workers)
    activations = 4 * captions * task.width * (shape.vocabulary_size // 2 + 16 * shape.lstm_units)
    return TENSORFLOW_BYTES + NUMBER_BYTES[plan.precision] * (weights + examples + activations)
