"""Reads the `examples` table for training, in global batches that do not depend on the number of workers.

With B examples in a batch and S shards, batch k takes the examples floor((k B + s) / S) .. floor(((k + 1) B + s) / S) of
shard s: B in all, by Hermite's identity. Of N workers, worker r reads the shards r, r + N, ... The order inside a shard
depends on (seed, epoch, shard) alone. A reader that starts at batch k skips whole files without reading them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

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
    """One worker's part of a global batch.

    Attributes:
        arrays: The batch; the task's empty batch if the worker has no more examples.
        examples: How many examples it has; 0 for the empty batch.
        places: Shard and place in the shard's order of each example, int64 (examples, 2); one row for the empty batch.
    """

    arrays: Batch
    examples: int
    places: Array


Read = Callable[[ExampleFile], Examples]


def worker_batches(task: Task, split: Split, order: Pass, read: Read | None = None) -> Iterator[WorkerBatch]:
    """One worker's part of each batch from `order.start` on; every worker gets equally many.

    Args:
        task: What is trained.
        split: The examples.
        order: Which part of them, in which order.
        read: Reads a file; by default each time with `read_file`.
    """
    read = read or partial(read_file, task)
    count, size = len(split.shards), order.batch_size
    shards = range(order.rank, count, order.workers)
    readers = {shard: _ShardReader(task, read, split, shard, order) for shard in shards}
    for step in range(order.start, split.steps(size)):
        parts, places = [], []
        for shard in shards:
            low, high = (step * size + shard) // count, ((step + 1) * size + shard) // count
            wanted = max(0, min(high, split.examples(shard)) - low)
            if wanted:
                parts += readers[shard].take(wanted)
                places += [(shard, place) for place in range(low, low + wanted)]
        batch = task.join(parts) if parts else task.empty_batch()
        yield WorkerBatch(batch, len(places), np.array(places or [(count, 0)]))


class _ShardReader:
    """The examples of one shard in an epoch's order, with one file in memory at a time."""

    def __init__(self, task: Task, read: Read, split: Split, shard: int, order: Pass):
        self._task, self._read, self._shard = task, read, shard
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
        self._examples = self._read(file)
        positions = np.arange(len(self._examples))
        if self._key:
            place = (*self._key, self._number + 1)
            positions = positions[np.random.default_rng(place).permutation(len(positions))]
            self._examples = self._task.augmented(self._examples, place)
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
    return examples_of(task, file, read_columns(task.columns, file))


def read_columns(names: Sequence[str], file: ExampleFile) -> dict[str, Array]:
    """The columns of a file; see `Task.examples` for their form."""
    from petastorm import make_batch_reader

    with make_batch_reader(
        [file.uri], schema_fields=list(names), shuffle_row_groups=False, reader_pool_type="dummy", num_epochs=1
    ) as reader:
        groups = list(reader)
    return {name: _matrix([getattr(group, name) for group in groups]) for name in names}


def examples_of(task: Task, file: ExampleFile, columns: dict[str, Array]) -> Examples:
    """The examples in the columns of a file. Raises InputError as `read_file` does."""
    try:
        examples = task.examples(columns)
    except InputError as error:
        raise InputError(f"{file.uri}: {error}") from error
    rows = len(next(iter(columns.values())))
    if rows != file.rows or len(examples) != file.examples:
        raise InputError(
            f"{file.uri}: found {rows} rows with {len(examples)} examples, expected {file.rows} with {file.examples}; the file "
            "was changed after it was written: run jobs/build_examples.py again"
        )
    return examples


def _matrix(groups: list[Array]) -> Array:
    """A column from its row groups: a matrix if it holds lists or byte strings of one length."""
    values = np.concatenate(groups)
    if values.dtype != object:
        return values
    lengths = {len(value) if isinstance(value, bytes) else None for value in values}
    if lengths == {None}:
        return np.stack(values)  # type: ignore[call-overload, no-any-return]
    if len(lengths) > 1 or None in lengths:
        return values
    return np.frombuffer(bytearray().join(values), "uint8").reshape(len(values), *lengths)
