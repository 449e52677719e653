"""Local SGD: each worker updates its own weights, and the weights are averaged now and then."""

from __future__ import annotations

from typing import Any

import numpy as np

from udfs.engine.arrays import Array
from udfs.engine.communication.collectives import Collectives
from udfs.engine.gradients import Gradient, dense
from udfs.engine.metrics import Sums
from udfs.engine.plan import Plan


class LocalSgd:
    """Averages the weights after every `local_sgd_steps` updates and at the end of an epoch.

    What is sent is how far each worker's weights have moved since the last average. With `outer_momentum`, the mean move is
    the gradient of Nesterov's method with a learning rate of 1, so that a direction which persists from one average to the next
    is followed further (Douillard et al., 2023, "DiLoCo").
    """

    def __init__(self, plan: Plan, collectives: Collectives, rank: int, weights: list[Any], optimizer: list[Any]):
        import tensorflow as tf

        settings = plan.communication
        self._plan, self._collectives, self._is_chief = plan, collectives, rank == 0
        self._weights, self._optimizer, self._momentum = weights, optimizer, settings.outer_momentum
        self._period = settings.gradient_accumulation_steps * settings.local_sgd_steps
        self._velocity: list[Any] = []
        self._average: list[Array] = []
        self.weights_restored()
        if self._momentum:
            self._velocity = [tf.Variable(tf.zeros_like(weight)) for weight in self._average]
        self.has_worker_state = collectives.workers > 1

    @property
    def shared_variables(self) -> list[Any]:
        return self._velocity

    def reduce(self, sums: Any, gradients: list[Gradient]) -> tuple[Any, list[Any]]:
        return sums, [dense(gradient) for gradient in gradients]

    def agrees_after(self, step: int) -> bool:
        return step % self._period == 0 or step == self._plan.steps

    def agree(self) -> None:
        """Sets every worker's weights to the mean of all workers'."""
        workers = self._collectives.workers
        if workers == 1:
            return
        moved = [np.asarray(now) - then for now, then in zip(self._weights, self._average, strict=True)]
        _, totals = self._collectives.all_reduce([], moved, 1.0)
        moves = [total / workers for total in totals]
        for velocity, move in zip(self._velocity, moves, strict=False):
            velocity.assign(self._momentum * velocity + move)
        if self._momentum:
            moves = [move + self._momentum * velocity for move, velocity in zip(moves, self._velocity, strict=True)]
        for weight, then, move in zip(self._weights, self._average, moves, strict=True):
            weight.assign(then + move)
        self.weights_restored()

    def total(self, sums: Sums) -> Sums:
        return Sums(self._collectives.total([sums.values])[0])

    def resumed(self, sums: Sums) -> Sums:
        return sums if self._is_chief else Sums(np.zeros_like(sums.values))

    def state(self) -> list[Array]:
        return [np.array(variable) for variable in self._optimizer]

    def restore(self, arrays: list[Array]) -> None:
        for variable, array in zip(self._optimizer, arrays, strict=True):
            variable.assign(array)

    def weights_restored(self) -> None:
        """Takes the current weights as the last average."""
        self._average = [np.array(weight) for weight in self._weights]
