"""The optimizer of a plan, the course of its learning rate, and the penalties that regularise its weights."""

from __future__ import annotations

from udfs.engine.plan import Plan

CLASSES = {
    "sgd": "SGD",
    "momentum": "SGD",
    "nesterov": "SGD",
    "adagrad": "Adagrad",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "adamax": "Adamax",
    "adamw": "AdamW",
}
MOMENTUM = {"momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.9, "nesterov": True}}


def make_optimizer(plan: Plan, variables: list):
    """A plan's Keras optimizer, built for variables; momentum and nesterov are SGD with momentum 0.9.

    Weight decay is decoupled from the gradient (Loshchilov and Hutter, 2019) and leaves biases alone.
    """
    import keras

    kind = getattr(keras.optimizers, CLASSES[plan.optimizer])
    decay = {"weight_decay": plan.weight_decay} if plan.weight_decay else {}
    average = {"use_ema": True, "ema_momentum": plan.ema_momentum} if plan.ema_momentum else {}
    optimizer = kind(make_schedule(plan), **MOMENTUM.get(plan.optimizer, {}), **decay, **average)
    if plan.weight_decay or plan.optimizer == "adamw":
        optimizer.exclude_from_weight_decay(var_list=[variable for variable in variables if not is_matrix(variable)])
    optimizer.build(variables)
    return optimizer


def make_schedule(plan: Plan):
    """The learning rate: a number, or Keras's schedule over the updates of all epochs.

    cosine and linear end at 0 with the last update; exponential multiplies by `learning_rate_decay` once an epoch, in
    small steps.
    """
    import keras

    schedules, updates = keras.optimizers.schedules, plan.epochs * plan.updates
    if plan.learning_rate_schedule == "cosine":
        return schedules.CosineDecay(plan.learning_rate, updates)
    if plan.learning_rate_schedule == "linear":
        return schedules.PolynomialDecay(plan.learning_rate, updates, end_learning_rate=0.0)
    if plan.learning_rate_schedule == "exponential":
        return schedules.ExponentialDecay(plan.learning_rate, plan.updates, plan.learning_rate_decay)
    return plan.learning_rate


def penalised(gradients: list, variables: list, l1: float, l2: float) -> list:
    """The gradients of the mean loss plus those of l1 sum |w| + l2 sum w^2 over the weight matrices; biases are free."""
    import tensorflow as tf

    if not l1 and not l2:
        return gradients
    pairs = zip(gradients, map(tf.convert_to_tensor, variables), strict=True)
    return [g + l1 * tf.sign(w) + 2 * l2 * w if is_matrix(w) else g for g, w in pairs]


def is_matrix(variable) -> bool:
    return len(variable.shape) > 1
