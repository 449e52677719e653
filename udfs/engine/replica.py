"""One worker's copy of the model and its optimizer, and how it stays equal to the others."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from udfs import files
from udfs.engine.arrays import Array
from udfs.engine.communication import choose_communication
from udfs.engine.communication.collectives import Collectives
from udfs.engine.metrics import Sums
from udfs.engine.optimizers import make_optimizer
from udfs.engine.plan import Plan
from udfs.engine.step import TrainingStep
from udfs.engine.task import Batch
from udfs.errors import InputError, one_line


def set_precision(precision: str) -> None:
    """Sets Keras's dtypes for the models that are built from now on: float32, float64 or mixed_bfloat16.

    With mixed_bfloat16, weights and gradients are float32 and layers compute in bfloat16.
    """
    from udfs.keras_setup import keras

    keras.config.set_floatx("float64" if precision == "float64" else "float32")
    keras.config.set_dtype_policy(precision)


class Replica:
    """The model that a plan describes, on one worker.

    Args:
        strategy: The gang's tf.distribute strategy.
        plan: What is trained.
        rank: The worker's rank.
        workers: The number of workers.
    """

    def __init__(self, strategy: Any, plan: Plan, rank: int = 0, workers: int = 1):
        from udfs.keras_setup import keras

        set_precision(plan.precision)
        keras.utils.set_random_seed(plan.seed)
        self.plan, self.dtype = plan, keras.config.floatx()
        self.collectives = Collectives(strategy, workers, self.dtype, plan.communication.dtype)
        self.model = plan.task.build_model()
        self.optimizer = make_optimizer(plan, self.model.trainable_variables)
        self.communication = choose_communication(plan, self.collectives, rank, self.model, self.optimizer)
        self._step = TrainingStep(plan, self.model, self.optimizer, self.dtype)
        self._pending: Any = None
        layers = self.model._flatten_layers(include_self=False)  # with those inside layers, which `layers` leaves out
        self.dropouts = [layer for layer in layers if isinstance(layer, keras.layers.Dropout) and layer.rate]

    def train(self, batch: Batch, dropout_seed: tuple[int, ...], update: bool = True) -> Sums:
        """Computes the gradients of this worker's part of a global batch and, with `update`, updates the weights.

        Args:
            batch: The task's arrays, with the seeds of the examples behind them if the task is seeded.
            dropout_seed: Determines the dropout masks.
            update: Whether the weights are updated.

        Returns:
            The sums of all steps since the last update: over all workers in synchronous training, of this worker in local SGD;
            zeros without an update.
        """
        self.seed_dropout(dropout_seed)
        computed = self._step.gradients(*self._cast(batch))
        self._pending = computed if self._pending is None else self._step.accumulate(self._pending, computed)
        if not update:
            return Sums.zeros(len(self.plan.task.metric_names))
        (sums, gradients), self._pending = self._pending, None
        sums, gradients = self.communication.reduce(sums, gradients)
        self._step.apply(gradients, sums[1])
        return Sums(sums.numpy().astype("float64"))

    def validate(self, batch: Batch) -> Sums:
        """This worker's sums over a batch, without dropout."""
        return Sums(self._step.validation_sums(*self._cast(batch)).numpy().astype("float64"))

    def seed_dropout(self, seed: tuple[int, ...]) -> None:
        """Determines the dropout masks of the next step, which differ between layers."""
        for number, layer in enumerate(self.dropouts):
            layer.seed_generator.state.assign(np.random.SeedSequence((*seed, number)).generate_state(2))

    def load_weights(self, uri: str) -> None:
        """Gives the model the weights of another run's model file.

        Raises:
            InputError: The file is not there, or its weights have other shapes.
        """
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "model.keras")
                with open(path, "wb") as stream:
                    stream.write(files.read_bytes(uri))
                self.model.load_weights(path)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"train.start_from: cannot take the weights of {uri}: {one_line(error, 300)}; expected a finished run with the "
                "same topology, sizes and vocabulary"
            ) from error

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Inside the block the model has the moving average of its weights, if the plan asks for one (Polyak, 1992)."""
        current = self.weights()
        self.optimizer.finalize_variable_values(self.model.trainable_variables)
        try:
            yield
        finally:
            _assign(self.model.trainable_variables, current)

    def broadcast(self, is_chief: bool) -> None:
        """Gives every worker the chief's variables, as a sum to which the other workers add zeros."""
        arrays = [np.asarray(variable) for variable in self.variables()]
        self.restore(self.collectives.total([array if is_chief else np.zeros_like(array) for array in arrays]))

    @property
    def learning_rate(self) -> float:
        return float(np.asarray(self.optimizer.learning_rate))

    def variables(self) -> list[Any]:
        """All variables of a checkpoint: of the model, the optimizer, and the communication."""
        return [
            *self.model.trainable_variables,
            *self.optimizer.variables,
            *self.communication.shared_variables,
        ]

    def snapshot(self) -> list[Array]:
        """Copies of `variables`."""
        return [np.array(variable) for variable in self.variables()]

    def restore(self, arrays: list[Array]) -> None:
        """Sets all variables to what `snapshot` returned."""
        _assign(self.variables(), arrays)
        self.communication.weights_restored()

    def weights(self) -> list[Array]:
        """Copies of the model's weights."""
        return [np.array(variable) for variable in self.model.trainable_variables]

    def checksum(self) -> int:
        """A 32-bit checksum of the weights."""
        return zlib.crc32(b"".join(weight.tobytes() for weight in self.weights()))

    def _cast(self, batch: Batch) -> Batch:
        """The batch with floating-point arrays in the model's dtype."""
        return tuple(array.astype(self.dtype, copy=False) if array.dtype.kind == "f" else array for array in batch)


def _assign(variables: list[Any], arrays: list[Array]) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
