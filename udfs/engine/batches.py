"""The batches of one worker: those of each epoch's training, and those of the validation split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from udfs.engine.arrays import Array
from udfs.engine.file_cache import FileCache
from udfs.engine.plan import Member, Plan
from udfs.engine.reader import Pass, Split, WorkerBatch, worker_batches
from udfs.engine.task import Examples

UNCHANGING = 0  # in place of the epoch, in the seeds of validation examples


class Batches:
    """Reads a plan's examples for one worker, and gives them the seeds that a seeded task wants."""

    def __init__(self, plan: Plan, member: Member):
        self._plan, self._member = plan, member
        self._files = FileCache(plan.task, plan.cache_bytes)

    def training(self, epoch: int, step: int) -> Iterator[WorkerBatch]:
        """The batches of an epoch after its first `step` ones.

        An epoch of `plan.steps_per_epoch` steps may end in the middle of a pass over the examples; the next one goes on there.
        """
        plan, position = self._plan, (epoch - 1) * self._plan.steps + step
        while position < epoch * plan.steps:
            passes, start = divmod(position, plan.steps_per_pass)
            count = min(epoch * plan.steps - position, plan.steps_per_pass - start)
            batches = self._read(plan.train, passes + 1, plan.seed, start)
            yield from (self._seeded(batch, epoch) for batch in islice(batches, count))
            position += count

    def validation(self) -> Iterator[WorkerBatch]:
        """The batches of the validation split, the same in every epoch."""
        return (self._seeded(batch, UNCHANGING) for batch in self._read(self._plan.validation, 1, None))

    def validation_files(self) -> Iterator[Examples]:
        """The examples of this worker's validation shards, file by file."""
        return map(self._files.read, self._plan.validation.files_of(self._member.rank, self._member.workers))

    def _read(self, split: Split, epoch: int, seed: int | None, start: int = 0) -> Iterator[WorkerBatch]:
        plan, member = self._plan, self._member
        order = Pass(plan.batch_size, member.rank, member.workers, epoch, seed, start, plan.bucket_by_length)
        return worker_batches(plan.task, split, order, self._files.read)

    def _seeded(self, batch: WorkerBatch, epoch: int) -> WorkerBatch:
        if not self._plan.task.seeded:
            return batch
        return replace(batch, arrays=(*batch.arrays, example_seeds((self._plan.seed, epoch), batch.places)))


def example_seeds(seed: tuple[int, ...], places: Array) -> Array:
    """The seeds of examples at these places (see `WorkerBatch`), int32 (examples, 2)."""
    words = [np.random.SeedSequence((*seed, *map(int, place))).generate_state(2) for place in places]
    return np.array(words, "uint32").view("int32").reshape(-1, 2)
