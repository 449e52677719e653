"""One step of training: synchronous, with the same mathematics at any number of workers, or local between averages.

Each worker sums the losses of its words. Synchronous training all-reduces the gradients of the sums, the losses and the
word counts as sums; division by the global word count, penalties, clipping and the update come after, alike on every
worker. The sums of several micro-steps may be gathered before that. Local training updates every worker's own copy and
averages the copies now and then. The variables live outside the strategy's scope: a Keras optimizer in a replica context
would reduce the gradients again.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from udfs.captioner.model import build_captioner, predict_frequencies, set_number_format, summed_loss
from udfs.engine.collectives import Exchange
from udfs.engine.optimizers import make_optimizer, penalised
from udfs.engine.plan import Plan
from udfs.engine.powersgd import LowRank

# XLA makes one pass over memory of an update's many, which takes it a second: too long for a model that is a toy.
COMPILED_PARAMETERS = 500_000


class Engine:
    """The captioner and its optimizer on one worker, and how it keeps in step with the others."""

    def __init__(self, strategy, plan: Plan, rank: int = 0, workers: int = 1):
        import keras
        import tensorflow as tf

        set_number_format(plan.precision)
        keras.utils.set_random_seed(plan.seed)
        self.plan, self.rank, self.workers, self.precision = plan, rank, workers, keras.config.floatx()
        self.exchange = Exchange(strategy, workers, self.precision, plan.all_reduce)
        self.captioner = build_captioner(plan.shape)
        if plan.token_counts:
            predict_frequencies(self.captioner, plan.token_counts)
        self.optimizer = make_optimizer(plan, self.captioner.trainable_variables)
        self.dropouts = [
            layer for layer in self.captioner.layers if isinstance(layer, keras.layers.Dropout) and layer.rate
        ]
        self._pending, self._anchor, self._velocity, self._low_rank = None, self.weights(), [], None
        if plan.outer_momentum:
            self._velocity = [tf.Variable(tf.zeros_like(weight)) for weight in self._anchor]
        if plan.gradient_rank and workers > 1:
            shapes = [variable.shape for variable in self.captioner.trainable_variables]
            self._low_rank = LowRank(shapes, plan.gradient_rank, self.precision, plan.seed, plan.gradient_sides)
        self._compile()

    def _compile(self) -> None:
        import tensorflow as tf

        plan, variables, summed = self.plan, self.captioner.trainable_variables, summed_loss(self.captioner)
        feature = tf.TensorSpec((None, plan.shape.feature_size), self.precision)
        signature = [tf.TensorSpec((None, None), tf.int32), feature]

        @tf.function(input_signature=signature)
        def differentiate(tokens, photo):
            with tf.GradientTape() as tape:
                target, *sums = summed(tokens, photo, training=True, smoothing=plan.label_smoothing)
            gradients = tape.gradient(target, variables)
            return tf.stack(sums), [compact(g) if plan.embedding_gradient == "auto" else dense(g) for g in gradients]

        @tf.function(input_signature=signature)
        def validate(tokens, photo):
            return tf.stack(summed(tokens, photo, training=False)[1:])

        @tf.function(jit_compile=plan.shape.parameters >= COMPILED_PARAMETERS)
        def apply(gradients, words):
            mean = [gradient / tf.maximum(words, 1) for gradient in gradients]  # alone, a worker may have had no words
            mean = penalised(mean, variables, plan.l1, plan.l2)
            if plan.clip_norm:
                mean, _ = tf.clip_by_global_norm(mean, plan.clip_norm)
            self.optimizer.apply(mean, variables)

        self._differentiate, self._validate, self._apply = differentiate, validate, apply
        self._add = tf.function(add, reduce_retracing=True)

    def train(self, batch, dropout_seed: tuple[int, ...], update: bool = True) -> np.ndarray:
        """A micro-step on this worker's part of a global batch, followed by an update of the weights where wanted.

        Returns: (summed loss in nats, correct words, words) of all micro-steps since the last update, over all workers or,
        in local training, of this one; zeros where there is no update.
        """
        self.seed_dropout(dropout_seed)
        found = self._differentiate(batch.tokens, batch.photo.astype(self.precision, copy=False))
        self._pending = found if self._pending is None else self._add(self._pending, found)
        if not update:
            return np.zeros(3)
        (sums, gradients), self._pending = self._pending, None
        if self.workers == 1 or self.plan.average_every:
            gradients = [dense(gradient) for gradient in gradients]
        else:
            sums, gradients = self._reduced(sums, gradients)
        self._apply(gradients, sums[2])
        return sums.numpy().astype("float64")

    def _reduced(self, sums, gradients: list) -> tuple:
        """The sums over all workers: of the loss and the counts as they are, of the gradients in the wire's type."""
        scale = float(self.plan.batch_size * self.plan.sync_every)
        if self._low_rank:
            exchange = partial(self.exchange.wired_total, scale=scale)
            (sums,), gradients = self._low_rank.total([sums], list(map(dense, gradients)), exchange)
            return sums, gradients
        sparse = next((number for number, gradient in enumerate(gradients) if not is_dense(gradient)), None)
        rows = self._rows_to_gather(gradients[sparse]) if sparse is not None else None
        if rows is not None:
            gradients.pop(sparse)
        (sums,), gradients = self.exchange.wired_total([sums], [dense(gradient) for gradient in gradients], scale)
        if rows is not None:
            height = int(rows.dense_shape[0])
            gradients.insert(sparse, self.exchange.wired_rows(rows.indices, rows.values, height, scale))
        return sums, gradients

    def _rows_to_gather(self, gradient):
        """A sparse gradient where gathering the workers' rows is less than reducing the whole matrix, on all of them alike."""
        counts = self.exchange.by_rank(np.array([gradient.indices.shape[0]]), self.rank)
        height, width = int(gradient.dense_shape[0]), gradient.values.shape[1]
        return gradient if self.exchange.rows_are_smaller(int(counts.max()), height, width) else None

    def average(self) -> None:
        """Gives every worker the mean of all workers' weights. What travels is how far each has moved since the last time.

        With `outer_momentum`, the mean move is the gradient of Nesterov's method with a rate of 1, so that what the workers
        agree on from one average to the next goes further (Douillard et al., 2023, "DiLoCo").
        """
        if self.workers == 1:
            return
        moved = [now - then for now, then in zip(self.weights(), self._anchor, strict=True)]
        _, totals = self.exchange.wired_total([], moved, 1.0)
        momentum, moves = self.plan.outer_momentum, [total / self.workers for total in totals]
        for velocity, move in zip(self._velocity, moves, strict=False):
            velocity.assign(momentum * velocity + move)
        if momentum:
            moves = [move + momentum * velocity for move, velocity in zip(moves, self._velocity, strict=True)]
        self._assign(
            self.captioner.trainable_variables, [a + move for a, move in zip(self._anchor, moves, strict=True)]
        )
        self._anchor = self.weights()

    def seed_dropout(self, seed: tuple[int, ...]) -> None:
        """Fixes the masks that the next step draws, another one for each layer."""
        for number, layer in enumerate(self.dropouts):
            layer.seed_generator.state.assign(np.random.SeedSequence((*seed, number)).generate_state(2))

    def validate(self, batch) -> np.ndarray:
        """This worker's (summed loss, correct words, words) of its part of a batch, without dropout or smoothing."""
        return self._validate(batch.tokens, batch.photo.astype(self.precision, copy=False)).numpy().astype("float64")

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside the block the captioner has the moving average of its weights, where the plan wants one (Polyak, 1992)."""
        own = self.weights()
        self.optimizer.finalize_variable_values(self.captioner.trainable_variables)
        try:
            yield
        finally:
            self._assign(self.captioner.trainable_variables, own)

    def synchronise(self, is_chief: bool) -> None:
        """Gives every worker the chief's variables: the others contribute zeros to one sum."""
        arrays = [np.asarray(variable) for variable in self.variables()]
        mine = [array if is_chief else np.zeros_like(array) for array in arrays]
        self.restore(self.exchange.total(mine))

    @property
    def learning_rate(self) -> float:
        return float(np.asarray(self.optimizer.learning_rate))

    def variables(self) -> list:
        return [*self.captioner.trainable_variables, *self.optimizer.variables, *self._velocity]

    def snapshot(self) -> list[np.ndarray]:
        """Copies of all variables: of the model, of the optimizer, and the velocity of an outer momentum."""
        return [np.array(variable) for variable in self.variables()]

    def own_state(self) -> list[np.ndarray]:
        """Copies of what other workers do not have: in local training the optimizer's variables, else gradients' rest."""
        if self.plan.average_every:
            return [np.array(variable) for variable in self.optimizer.variables]
        return self._low_rank.state() if self._low_rank else []

    def restore_own(self, arrays: list[np.ndarray]) -> None:
        if self.plan.average_every:
            self._assign(self.optimizer.variables, arrays)
        elif self._low_rank:
            self._low_rank.restore(arrays)

    def checksum(self) -> int:
        """A number of 32 bits that differs where the weights do."""
        return zlib.crc32(b"".join(weight.tobytes() for weight in self.weights()))

    def weights(self) -> list[np.ndarray]:
        """Copies of the model's weights."""
        return [np.array(variable) for variable in self.captioner.trainable_variables]

    def restore(self, arrays: list[np.ndarray]) -> None:
        """Sets all variables, as `snapshot` gave them."""
        self._assign(self.variables(), arrays)
        self._anchor = self.weights()

    @staticmethod
    def _assign(variables: list, arrays: list[np.ndarray]) -> None:
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


def is_dense(gradient) -> bool:
    return not hasattr(gradient, "indices")


def dense(gradient):
    """A gradient as a matrix, where it was the rows of words that occur."""
    import tensorflow as tf

    if is_dense(gradient):
        return tf.convert_to_tensor(gradient)
    return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, gradient.dense_shape[0])


def compact(gradient):
    """Each row that occurs in a sparse gradient once, with its sum."""
    import tensorflow as tf

    if is_dense(gradient):
        return gradient
    ids, places = tf.unique(tf.cast(gradient.indices, tf.int32))
    rows = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(ids))
    return tf.IndexedSlices(rows, ids, tf.cast(gradient.dense_shape, tf.int32))


def add(one: tuple, other: tuple) -> tuple:
    """The sum of two micro-steps' (sums, gradients)."""
    import tensorflow as tf

    def joined(a, b):
        if is_dense(a):
            return a + b
        parts = tf.concat([a.values, b.values], axis=0), tf.concat([a.indices, b.indices], axis=0)
        return compact(tf.IndexedSlices(*parts, a.dense_shape))

    return one[0] + other[0], [joined(a, b) for a, b in zip(one[1], other[1], strict=True)]
