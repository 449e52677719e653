"""How much memory a worker needs to train the captioner."""

from __future__ import annotations

from udfs.captioner.training import CaptionerTask
from udfs.engine.plan import Plan

TENSORFLOW_BYTES = 700 * 2**20
HEADS = 4
NUMBER_BYTES = {"float32": 4, "float64": 8, "mixed_bfloat16": 4}


def worker_bytes(task: CaptionerTask, plan: Plan, workers: int) -> int:
    """An upper estimate of the memory of one of so many workers, in bytes.

    It counts TensorFlow itself; every weight with its gradient, the sum of it, two numbers of the optimizer, and copies for a
    checkpoint; a file of each of the worker's shards, with the copy that petastorm makes; and the activations of its part of a
    batch.
    """
    shape = task.shape
    weights = 10 * parameters(task)
    rows = sum(max((file.rows for file in shard), default=0) for shard in plan.train.shards[::workers])
    examples = 3 * rows * (shape.feature_size + 5 * task.width)
    captions = -(-plan.batch_size // workers)
    positions = 1 if task.topology == "merge" else shape.feature_size // shape.feature_shape[-1]
    words = task.width * (shape.vocabulary_size // 2 + 16 * shape.lstm_units + HEADS * (positions - 1))
    activations = 4 * captions * (words + 2 * shape.lstm_units * (positions - 1))
    return TENSORFLOW_BYTES + NUMBER_BYTES[plan.precision] * (weights + examples + activations)


def parameters(task: CaptionerTask) -> int:
    """An upper estimate of the number of weights: exact for the merge model, generous for attention."""
    shape = task.shape
    words, units, size = shape.vocabulary_size, shape.lstm_units, shape.embedding_dim
    lstm = 4 * units * (size + units + 1)
    head = 0 if shape.tie_embeddings else (units + 1) * words
    if task.topology == "merge":
        return words * size + lstm + (shape.feature_size + 1 + units + 1) * units + head
    photo = 3 * (shape.feature_shape[-1] + 1) * units + 16 * units * units
    return words * (size + 1) + lstm + head + photo
