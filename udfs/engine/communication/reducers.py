"""Ways to sum gradients over the workers exactly, up to the dtype in which they are sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from udfs.engine.arrays import Array
from udfs.engine.communication.collectives import Collectives
from udfs.engine.gradients import Gradient, dense, is_dense

Reduce = Callable[[Any, list[Gradient]], tuple[Any, list[Any]]]
"""Takes (sums, gradients) and returns their sums over all workers as dense tensors. Every worker calls it equally often."""


class WorkerState(Protocol):
    """The state of a reducer that differs between workers."""

    def state(self) -> list[Array]: ...

    def restore(self, arrays: list[Array]) -> None: ...


def single_worker(sums: Any, gradients: list[Gradient]) -> tuple[Any, list[Any]]:
    """A gang of one, which sends nothing."""
    return sums, [dense(gradient) for gradient in gradients]


class DenseAllReduce:
    """One all-reduce of all gradients, as whole matrices."""

    def __init__(self, collectives: Collectives, scale: float):
        self._collectives, self._scale = collectives, scale

    def reduce(self, sums: Any, gradients: list[Gradient]) -> tuple[Any, list[Any]]:
        (total,), reduced = self._collectives.all_reduce([sums], [dense(each) for each in gradients], self._scale)
        return total, reduced


class SparseRows:
    """Gathers the rows of a sparse gradient if that sends fewer bytes, and all-reduces everything else."""

    def __init__(self, collectives: Collectives, rank: int, scale: float):
        self._collectives, self._rank, self._scale = collectives, rank, scale

    def reduce(self, sums: Any, gradients: list[Gradient]) -> tuple[Any, list[Any]]:
        place = next((number for number, gradient in enumerate(gradients) if not is_dense(gradient)), None)
        if place is None or not self._is_smaller(gradients[place]):
            (total,), reduced = self._collectives.all_reduce([sums], [dense(each) for each in gradients], self._scale)
            return total, reduced
        sparse, others = gradients[place], [*gradients[:place], *gradients[place + 1 :]]
        (total,), reduced = self._collectives.all_reduce([sums], [dense(each) for each in others], self._scale)
        height = int(sparse.dense_shape[0])
        rows = self._collectives.gather_rows(sparse.indices, sparse.values, height, self._scale)
        return total, [*reduced[:place], rows, *reduced[place:]]

    def _is_smaller(self, gradient: Any) -> bool:
        """Whether gathering rows sends fewer bytes; all workers get the same answer."""
        counts = self._collectives.by_rank(np.array([gradient.indices.shape[0]]), self._rank)
        height, width = int(gradient.dense_shape[0]), gradient.values.shape[1]
        return self._collectives.rows_are_smaller(int(counts.max()), height, width)
