"""Synchronous training: every update uses the gradients of all workers, so their weights are always equal."""

from __future__ import annotations

from typing import Any

from udfs.engine.arrays import Array
from udfs.engine.communication.reducers import Reduce, WorkerState
from udfs.engine.metrics import Sums
from udfs.engine.plan import Plan


class Synchronous:
    """Sums the gradients of each update over all workers.

    Args:
        reduce: How the gradients are summed.
        worker_state: The state of `reduce`, if it has one for each worker.
    """

    def __init__(self, plan: Plan, reduce: Reduce, worker_state: WorkerState | None = None):
        self._plan, self.reduce, self._worker_state = plan, reduce, worker_state
        self.has_worker_state = worker_state is not None
        self.shared_variables: list[Any] = []

    def agrees_after(self, step: int) -> bool:
        return self._plan.updates_after(step)

    def agree(self) -> None:
        """Does nothing: the weights are equal already."""

    def total(self, sums: Sums) -> Sums:
        return sums

    def resumed(self, sums: Sums) -> Sums:
        return sums

    def state(self) -> list[Array]:
        return self._worker_state.state() if self._worker_state else []

    def restore(self, arrays: list[Array]) -> None:
        if self._worker_state:
            self._worker_state.restore(arrays)

    def weights_restored(self) -> None:
        """Does nothing: the gradients' sum does not depend on them."""
