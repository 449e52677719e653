"""One step of training on one worker, as compiled functions.

Each worker sums the losses of its examples. The sums and gradients of several steps may be accumulated. Division by the
global weight, penalties, clipping and the update come after the reduction, in the same way on every worker. The variables live
outside the strategy's scope, because a Keras optimizer in a replica context would reduce the gradients again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from udfs.engine.gradients import add, compact, dense
from udfs.engine.optimizers import penalised
from udfs.engine.plan import Plan

# XLA applies an update in one pass over memory instead of many, but takes a second to compile: too long for a toy model.
COMPILED_PARAMETERS = 500_000


class TrainingStep:
    """The compiled functions of a model and its optimizer.

    `accumulate(pending, sums_and_gradients)` adds two results of `gradients`.
    """

    def __init__(self, plan: Plan, model: Any, optimizer: Any, dtype: str):
        loss = plan.task.loss_function(model)
        signature = plan.task.signature(dtype)
        if plan.task.seeded:
            signature = [*signature, _seeds()]
        self.gradients = _gradients(plan, loss, model.trainable_variables, signature)
        self.validation_sums = _validation_sums(loss, signature)
        self.apply = _apply(plan, optimizer, model.trainable_variables)
        self.accumulate = _accumulate()


def _seeds() -> Any:
    import tensorflow as tf

    return tf.TensorSpec((None, 2), tf.int32)


def _gradients(plan: Plan, loss: Callable[..., Any], variables: list[Any], signature: list[Any]) -> Any:
    """A function from a batch to (sums, gradients) of this worker, neither divided by the weight."""
    import tensorflow as tf

    shorten = compact if plan.communication.sparse_embedding else dense

    def gradients(*batch: Any) -> Any:
        with tf.GradientTape() as tape:
            sums = loss(*batch, training=True)
        of_variables = tape.gradient(sums.objective, variables)
        return tf.stack([sums.loss, sums.weight, *sums.metrics]), [shorten(gradient) for gradient in of_variables]

    return tf.function(gradients, input_signature=signature)


def _validation_sums(loss: Callable[..., Any], signature: list[Any]) -> Any:
    """A function from a batch to its sums, without dropout."""
    import tensorflow as tf

    def validation_sums(*batch: Any) -> Any:
        sums = loss(*batch, training=False)
        return tf.stack([sums.loss, sums.weight, *sums.metrics])

    return tf.function(validation_sums, input_signature=signature)


def _apply(plan: Plan, optimizer: Any, variables: list[Any]) -> Any:
    """A function that updates the variables with the gradients of a sum, given its weight."""
    import tensorflow as tf

    settings, parameters = plan.optimizer, sum(int(tf.size(variable)) for variable in variables)

    def apply(gradients: list[Any], weight: Any) -> None:
        # In local SGD, the examples of a worker may have no weight.
        mean = [gradient / tf.maximum(weight, 1) for gradient in gradients]
        mean = penalised(mean, variables, settings)
        if settings.clip_norm:
            mean, _ = tf.clip_by_global_norm(mean, settings.clip_norm)
        optimizer.apply(mean, variables)

    return tf.function(apply, jit_compile=parameters >= COMPILED_PARAMETERS)


def _accumulate() -> Any:
    import tensorflow as tf

    def accumulate(first: Any, second: Any) -> Any:
        return first[0] + second[0], [add(a, b) for a, b in zip(first[1], second[1], strict=True)]

    return tf.function(accumulate, reduce_retracing=True)
