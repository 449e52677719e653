"""Reads the `examples` table for training, in global batches that do not depend on the number of workers.

With B examples in a batch and S shards, batch k takes the examples floor((k B + s) / S) .. floor(((k + 1) B + s) / S) of
shard s: B in all, by Hermite's identity. Of N workers, worker r reads the shards r, r + N, ... The order inside a shard
depends on (seed, epoch, shard) alone. A reader that starts at batch k skips whole files without reading them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from udfs.engine.arrays import Array
from udfs.engine.buckets import LengthBuckets
from udfs.engine.task import Batch, Examples, Task
from udfs.errors import InputError


@dataclass(frozen=True)
class ExampleFile:
    """One file of a shard: its URI, its rows, and the examples in them (a row may hold several)."""

    uri: str
    rows: int
    examples: int


@dataclass(frozen=True)
class Split:
    """The files of a split of the examples table, by shard."""

    shards: tuple[tuple[ExampleFile, ...], ...]

    def examples(self, shard: int) -> int:
        return sum(file.examples for file in self.shards[shard])

    @property
    def total(self) -> int:
        """The examples of all shards."""
        return sum(map(self.examples, range(len(self.shards))))

    def files_of(self, rank: int, workers: int) -> list[ExampleFile]:
        """The files of one worker's shards."""
        return [file for shard in self.shards[rank::workers] for file in shard]

    def steps(self, batch_size: int) -> int:
        """Batches per epoch, the same for every worker."""
        count = len(self.shards)
        # The last batch k + 1 is the first whose quota, floor(((k + 1) B + s) / S), covers the shard's examples.
        needed = [
            -(-(self.examples(shard) * count - shard) // batch_size) for shard in range(count) if self.examples(shard)
        ]
        return max(needed, default=0)


@dataclass(frozen=True)
class Pass:
    """One worker's pass over a split.

    Attributes:
        batch_size: Global batch size, in examples.
        epoch: The epoch, from 1; it changes the order.
        seed: Seed of the order; None keeps the order of the files, for validation.
        start: The first batch, counted from 0.
        bucket_by_length: Batches across which examples are grouped by length; 0 mixes all lengths.
    """

    batch_size: int
    rank: int
    workers: int
    epoch: int
    seed: int | None
    start: int = 0
    bucket_by_length: int = 0


@dataclass(frozen=True)
class WorkerBatch:
    """One worker's part of a global batch, and how many examples it has; 0 if it is the task's empty batch."""

    arrays: Batch
    examples: int


def worker_batches(task: Task, split: Split, order: Pass) -> Iterator[WorkerBatch]:
    """One worker's part of each batch from `order.start` on; every worker gets equally many."""
    count, size = len(split.shards), order.batch_size
    shards = range(order.rank, count, order.workers)
    readers = {shard: _ShardReader(task, split, shard, order) for shard in shards}
    for step in range(order.start, split.steps(size)):
        parts, examples = [], 0
        for shard in shards:
            low, high = (step * size + shard) // count, ((step + 1) * size + shard) // count
            wanted = max(0, min(high, split.examples(shard)) - low)
            if wanted:
                parts += readers[shard].take(wanted)
                examples += wanted
        yield WorkerBatch(task.join(parts) if parts else task.empty_batch(), examples)


class _ShardReader:
    """The examples of one shard in an epoch's order, with one file in memory at a time."""

    def __init__(self, task: Task, split: Split, shard: int, order: Pass):
        self._task, self._shard, self._order = task, shard, order
        self._key, self._buckets = None, None
        if order.seed is not None:
            self._key = (order.seed, order.epoch, shard)
            if order.bucket_by_length:
                self._buckets = LengthBuckets(
                    order.seed, order.epoch, order.batch_size, len(split.shards), order.bucket_by_length
                )
        files = list(split.shards[shard])
        if self._key:
            files = [files[i] for i in np.random.default_rng(self._key).permutation(len(files))]
        self._skip = (order.start * order.batch_size + shard) // len(split.shards)
        self._position = self._number = 0
        while files and files[0].examples <= self._skip:
            self._position += files[0].examples
            self._skip -= files.pop(0).examples
            self._number += 1
        self._files = iter(files)
        self._pending = np.zeros(0, "int64")  # positions in the open file that are still to be read
        self._examples: Examples

    def take(self, count: int) -> list[Batch]:
        """The next examples, in one part for each file that holds some of them."""
        parts = []
        while count > 0:
            if not len(self._pending):
                self._open(next(self._files))
            positions, self._pending = self._pending[:count], self._pending[count:]
            count -= len(positions)
            parts.append(self._examples.take(positions))
        return parts

    def _open(self, file: ExampleFile) -> None:
        self._examples = read_file(self._task, file)
        positions = np.arange(len(self._examples))
        if self._key:
            positions = positions[np.random.default_rng((*self._key, self._number + 1)).permutation(len(positions))]
        if self._buckets:
            lengths = self._examples.lengths()[positions]
            positions = positions[self._buckets.arrange(lengths, self._shard, self._position)]
        self._position += len(positions)
        self._pending, self._skip, self._number = positions[self._skip :], 0, self._number + 1


def read_file(task: Task, file: ExampleFile) -> Examples:
    """The examples of a file, read through petastorm.

    Raises:
        InputError: If the file does not hold the rows that its table version says.
    """
    from petastorm import make_batch_reader

    with make_batch_reader(
        [file.uri], schema_fields=list(task.columns), shuffle_row_groups=False, reader_pool_type="dummy", num_epochs=1
    ) as reader:
        groups = list(reader)
    columns = {name: np.concatenate([_matrix(getattr(group, name)) for group in groups]) for name in task.columns}
    rows = len(next(iter(columns.values())))
    examples = task.examples(columns)
    if rows != file.rows or len(examples) != file.examples:
        raise InputError(
            f"{file.uri}: found {rows} rows with {len(examples)} examples, expected {file.rows} with {file.examples}; the file "
            "was changed after it was written: run jobs/build_examples.py again"
        )
    return examples


def _matrix(values: Array) -> Array:
    """A column of equally long lists as a matrix, any other column as it is."""
    return np.stack(values) if values.dtype == object else values  # type: ignore[call-overload]
