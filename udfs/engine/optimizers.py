"""The Keras optimizer of a plan, its learning rate schedule, and the penalties that regularise the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from udfs.engine.plan import OptimizerPlan, Plan

if TYPE_CHECKING:
    from udfs.keras_setup import keras

CLASSES = {
    "sgd": "SGD",
    "adagrad": "Adagrad",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "adamax": "Adamax",
    "adamw": "AdamW",
}


def make_optimizer(plan: Plan, variables: list[keras.Variable]) -> keras.optimizers.Optimizer:
    """A plan's Keras optimizer, built for these variables.

    Weight decay is decoupled from the gradient (Loshchilov and Hutter, 2019) and does not apply to biases.
    """
    from udfs.keras_setup import keras

    settings = plan.optimizer
    options: dict[str, Any] = {}
    if settings.name == "sgd":
        options |= {"momentum": settings.momentum, "nesterov": settings.nesterov}
    if settings.weight_decay:
        options["weight_decay"] = settings.weight_decay
    kind = getattr(keras.optimizers, CLASSES[settings.name])
    if settings.ema_decay:
        kind = averaging(kind, settings.ema_decay)
        options |= {"use_ema": True}
    optimizer = kind(warmed_up(make_schedule(plan), settings.warmup_steps), **options)
    if settings.weight_decay or settings.name == "adamw":
        optimizer.exclude_from_weight_decay(var_list=[variable for variable in variables if not is_matrix(variable)])
    optimizer.build(variables)
    return optimizer


def make_schedule(plan: Plan) -> Any:
    """The learning rate: a number, or Keras's schedule over the updates of all epochs.

    cosine and linear end at 0 with the last update. exponential multiplies by `decay` once per epoch, in small steps.
    """
    from udfs.keras_setup import keras

    settings, schedules = plan.optimizer, keras.optimizers.schedules
    updates = plan.epochs * plan.updates
    if settings.schedule == "cosine":
        return schedules.CosineDecay(settings.learning_rate, updates)
    if settings.schedule == "linear":
        return schedules.PolynomialDecay(settings.learning_rate, updates, end_learning_rate=0.0)
    if settings.schedule == "exponential":
        return schedules.ExponentialDecay(settings.learning_rate, plan.updates, settings.decay)
    return settings.learning_rate


def warmed_up(rate: Any, updates: int) -> Any:
    """A learning rate or schedule of which the first updates take a share that grows evenly to 1."""
    if not updates:
        return rate
    from udfs.keras_setup import keras

    class WarmedUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> Any:
            reached = keras.ops.minimum(1.0, (keras.ops.cast(step, "float32") + 1) / updates)
            return (rate(step) if callable(rate) else rate) * reached

    return WarmedUp()


def averaging(kind: Any, decay: float) -> Any:
    """An optimizer class whose moving average of the weights has the decay min(decay, (1 + t) / (10 + t)) after t updates.

    So the average forgets the initial weights early, as that of TensorFlow's `ExponentialMovingAverage(num_updates=t)` does.
    """
    from udfs.keras_setup import keras

    def momentum(optimizer: Any) -> Any:
        updates = keras.ops.cast(optimizer.iterations, "float32")
        return keras.ops.minimum(decay, (1 + updates) / (10 + updates))

    def ignore(optimizer: Any, value: float) -> None:
        """Keras sets the attribute to its own default."""

    return type(kind.__name__, (kind,), {"ema_momentum": property(momentum, ignore)})


def penalised(gradients: list[Any], variables: list[Any], settings: OptimizerPlan) -> list[Any]:
    """The gradients of the mean loss plus those of l1 sum |w| + l2 sum w^2 over the weight matrices, without biases."""
    import tensorflow as tf

    if not settings.l1 and not settings.l2:
        return gradients
    pairs = zip(gradients, map(tf.convert_to_tensor, variables), strict=True)
    return [g + settings.l1 * tf.sign(w) + 2 * settings.l2 * w if is_matrix(w) else g for g, w in pairs]


def is_matrix(variable: Any) -> bool:
    return len(variable.shape) > 1
