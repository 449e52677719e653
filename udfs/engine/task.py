"""The protocol of what the engine trains: a model, its examples, its loss and, optionally, its scores.

`docs/your_own_model.md` implements it in a few lines; `udfs.captioner.training.CaptionerTask` is the captioner's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from udfs.engine.arrays import Array

if TYPE_CHECKING:
    import tensorflow as tf

    from udfs.keras_setup import keras

Batch = tuple[Array, ...]
"""The arrays of a batch."""


class LossSums(NamedTuple):
    """What a loss function returns, summed over the examples of a batch. All but `objective` must not be negative.

    Attributes:
        objective: The sum that is differentiated.
        loss: The sum that is reported, divided by the weight.
        weight: The number of terms in the sums, by which gradients and sums are divided.
        metrics: Further sums, in the order of `Task.metric_names`, which are reported divided by the weight.
    """

    objective: tf.Tensor
    loss: tf.Tensor
    weight: tf.Tensor
    metrics: tuple[tf.Tensor, ...]


class Examples(Protocol):
    """The examples of one file, in memory."""

    def __len__(self) -> int: ...

    def lengths(self) -> Array:
        """A length per example, by which `bucket_by_length` groups them; int64 (examples,)."""
        ...

    def take(self, positions: Array) -> Batch:
        """The examples at these positions, in this order."""
        ...


class Scorer(Protocol):
    """Scores that are computed from sums over the validation examples, such as BLEU."""

    def count(self, files: Iterator[Examples]) -> Array:
        """The sums over one worker's files; zeros of the same shape if there are none."""
        ...

    def scores(self, totals: Array) -> dict[str, float]:
        """The scores of sums over all workers, by the names in `Task.score_names`."""
        ...

    def stop_reason(self, history: Sequence[Mapping[str, float]]) -> str:
        """Why training must stop after these epochs, of which each has its losses and scores; empty if it may go on."""
        ...


class Task(Protocol):
    """What the engine trains. An implementation is a frozen dataclass whose fields JSON can hold.

    Every worker builds the task again from its class and fields, so the class must be importable there.

    Attributes:
        columns: The columns of the examples table that are read.
        metric_names: Names of `LossSums.metrics`, in order.
        score_names: Names of the scorer's scores; empty if the task has no scorer.
        example_unit: What an example is called in metrics, in the plural: `captions`.
        weight_unit: What a term of the loss is called in metrics, in the plural: `words`.
        seeded: Whether the loss function takes a seed for each example, int32 (examples, 2), between the batch and `training`.
            Seeds depend on the plan's seed, the epoch and the example's place in the epoch's order, not on the workers.
    """

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def metric_names(self) -> tuple[str, ...]: ...

    @property
    def score_names(self) -> tuple[str, ...]: ...

    @property
    def example_unit(self) -> str: ...

    @property
    def weight_unit(self) -> str: ...

    @property
    def seeded(self) -> bool: ...

    def examples(self, columns: dict[str, Array]) -> Examples:
        """The examples in one file, from its columns; the first axis of each array is the file's rows.

        A column of lists of one length is a matrix, a column of byte strings of one length a matrix of uint8. Examples may be
        kept and taken from again in later epochs.
        """
        ...

    def augmented(self, examples: Examples, seed: tuple[int, ...]) -> Examples:
        """The examples of a file as one pass of training sees them; the same object if the task does not augment.

        Args:
            examples: The examples, which must stay as they are.
            seed: Seed, pass, shard and the file's number in it, so that the result does not depend on the workers.
        """
        ...

    def join(self, parts: list[Batch]) -> Batch:
        """One batch of the parts that several shards contribute; there is at least one."""
        ...

    def empty_batch(self) -> Batch:
        """A batch of one example that has no weight, for a worker whose shards have no more examples."""
        ...

    def signature(self, dtype: str) -> list[tf.TensorSpec]:
        """Shapes and dtypes of a batch; floating-point arrays are given in `dtype`."""
        ...

    def build_model(self) -> keras.Model:
        """A new model with its initial weights, in Keras's current dtype policy."""
        ...

    def loss_function(self, model: keras.Model) -> Callable[..., LossSums]:
        """A function of (*batch, training), or (*batch, seeds, training), that TensorFlow can trace."""
        ...

    def scorer(self, model: keras.Model) -> Scorer | None:
        """What scores the model on the validation split after each epoch; it reads the weights when it is called."""
        ...


def task_to_json(task: Task) -> dict[str, Any]:
    """A task as JSON values: its class by import path, and its fields."""
    kind = type(task)
    return {"class": f"{kind.__module__}:{kind.__qualname__}", "fields": asdict(task)}  # type: ignore[call-overload]


def task_from_json(values: dict[str, Any]) -> Task:
    """The task that `task_to_json` described."""
    module, _, name = values["class"].partition(":")
    task: Task = getattr(importlib.import_module(module), name)(**values["fields"])
    return task
