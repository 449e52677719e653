"""How much memory a worker needs to train the captioner."""

from __future__ import annotations

from udfs.captioner.training import CaptionerTask
from udfs.captioner.validation import BATCH
from udfs.engine.plan import Plan
from udfs.vision.features import STORED

TENSORFLOW_BYTES = 700 * 2**20
HEADS = 4
NUMBER_BYTES = {"float32": 4, "float64": 8, "mixed_bfloat16": 4}
READING_COPIES = 3  # of the file that is being read: Arrow's, petastorm's and the matrix


def worker_bytes(task: CaptionerTask, plan: Plan, workers: int) -> int:
    """An upper estimate of the memory of one of so many workers, in bytes.

    It counts TensorFlow itself; every weight with its gradient, the sum of it, two numbers of the optimizer, and copies for a
    checkpoint; the examples; the photos of its part of a batch, or of those that are captioned together in validation; and the
    activations.
    """
    shape = task.shape
    weights = 10 * parameters(task)
    captions = -(-plan.batch_size // workers)
    # Array and tensor, its dropout, and the gradient of that.
    photos = 4 * max(captions, BATCH if task.validation_bleu else 0) * shape.feature_size
    positions = 1 if task.topology == "merge" else shape.feature_size // shape.feature_shape[-1]
    words = task.width * (shape.vocabulary_size // 2 + 16 * shape.lstm_units + HEADS * (positions - 1))
    activations = 4 * captions * (words + 2 * shape.lstm_units * (positions - 1))
    numbers = weights + photos + activations
    return TENSORFLOW_BYTES + NUMBER_BYTES[plan.precision] * numbers + example_bytes(task, plan, workers)


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


def example_bytes(task: CaptionerTask, plan: Plan, workers: int) -> int:
    """An upper estimate of the memory of a worker's examples: a file of each of its shards, and those that are kept."""
    shards = plan.train.shards[::workers]
    largest = [max((file.rows for file in shard), default=0) for shard in shards]
    files = [file for split in (plan.train, plan.validation) for file in split.files_of(0, workers)]
    row = row_bytes(task, plan)
    kept = min(plan.cache_bytes, row * sum(file.rows for file in files))
    return row * (sum(largest) + READING_COPIES * max(largest, default=0)) + kept


def row_bytes(task: CaptionerTask, plan: Plan) -> int:
    """The bytes of a photo and its padded captions, in 32-bit numbers, in memory."""
    most = max(
        (-(-file.examples // file.rows) for shard in plan.train.shards for file in shard if file.rows), default=0
    )
    features = 2 if task.mirror_share else 1
    return STORED.itemsize * features * task.shape.feature_size + 4 * task.width * max(5, most)
