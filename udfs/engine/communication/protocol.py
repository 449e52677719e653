"""What the training loop needs of a way to communicate."""

from __future__ import annotations

from typing import Any, Protocol

from udfs.engine.arrays import Array
from udfs.engine.gradients import Gradient
from udfs.engine.metrics import Sums


class Communication(Protocol):
    """Keeps the workers' weights equal. Every worker makes the same calls in the same order.

    Attributes:
        has_worker_state: Whether `state` differs between workers and must be kept for each of them.
        shared_variables: Variables that are equal on all workers and belong to a checkpoint.
    """

    @property
    def has_worker_state(self) -> bool: ...

    @property
    def shared_variables(self) -> list[Any]: ...

    def reduce(self, sums: Any, gradients: list[Gradient]) -> tuple[Any, list[Any]]:
        """What the next update of the weights uses: sums (of an epoch's `Sums.values`) and gradients, all dense tensors."""
        ...

    def agrees_after(self, step: int) -> bool:
        """Whether all workers have the same weights and no pending gradients after a step of an epoch, counted from 1."""
        ...

    def agree(self) -> None:
        """Makes the weights equal, after each step for which `agrees_after` is true."""
        ...

    def total(self, sums: Sums) -> Sums:
        """The sums of an epoch over all workers, from those that `reduce` returned."""
        ...

    def resumed(self, sums: Sums) -> Sums:
        """This worker's part of the sums in a checkpoint, so that `total` counts them once."""
        ...

    def state(self) -> list[Array]:
        """Copies of what this worker needs to continue and the chief's checkpoint does not hold."""
        ...

    def restore(self, arrays: list[Array]) -> None:
        """Sets what `state` returned."""
        ...

    def weights_restored(self) -> None:
        """Tells that the weights were set from outside."""
        ...
