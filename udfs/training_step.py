"""One step of synchronous training: the same mathematics at any number of workers.

Each worker sums the losses of its words; the gradients of the sums, the losses and the word counts are all-reduced as
sums inside `strategy.run`; division by the global word count, clipping and the update come after, alike on every worker.
The variables live outside the strategy's scope: a Keras optimizer in a replica context would reduce the gradients again.
"""

from __future__ import annotations

import numpy as np

from udfs.captioner import build_captioner, summed_loss
from udfs.plan import Plan


def make_optimizer(plan: Plan):
    """A plan's Keras optimizer; momentum and nesterov are SGD with momentum 0.9."""
    import keras

    name, learning_rate = plan.optimizer, make_schedule(plan)
    if name in ("momentum", "nesterov"):
        return keras.optimizers.SGD(learning_rate, momentum=0.9, nesterov=name == "nesterov")
    classes = {
        "sgd": "SGD",
        "adagrad": "Adagrad",
        "rmsprop": "RMSprop",
        "adam": "Adam",
        "adamax": "Adamax",
        "adamw": "AdamW",
    }
    return getattr(keras.optimizers, classes[name])(learning_rate)


def make_schedule(plan: Plan):
    """The learning rate: a number, or Keras's schedule that ends at 0 with the last step of the last epoch."""
    import keras

    schedules, steps = keras.optimizers.schedules, plan.epochs * plan.steps
    if plan.learning_rate_schedule == "cosine":
        return schedules.CosineDecay(plan.learning_rate, steps)
    if plan.learning_rate_schedule == "linear":
        return schedules.PolynomialDecay(plan.learning_rate, steps, end_learning_rate=0.0)
    return plan.learning_rate


class Engine:
    """The captioner, its optimizer and the collective operations of one worker.

    `train` and `validate` take one worker's batch; `total` sums numbers over the workers; `synchronise` gives every worker
    the chief's variables.
    """

    def __init__(self, strategy, plan: Plan):
        import keras

        keras.config.set_floatx(plan.precision)
        keras.utils.set_random_seed(plan.seed)
        self.strategy, self.clip_norm, self.precision = strategy, plan.clip_norm, plan.precision
        self.captioner = build_captioner(plan.shape)
        self.optimizer = make_optimizer(plan)
        self.optimizer.build(self.captioner.trainable_variables)
        self.dropouts = [
            layer for layer in self.captioner.layers if isinstance(layer, keras.layers.Dropout) and layer.rate
        ]
        self._compile(plan.shape.feature_size)

    def _compile(self, feature_size: int) -> None:
        import tensorflow as tf

        variables, summed = self.captioner.trainable_variables, summed_loss(self.captioner)
        signature = [tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, feature_size), self.precision)]

        def reduce_sums(values):
            placed = [tf.identity(value) for value in values]  # all_reduce refuses a tensor without a device
            sums = {}
            for kind in dict.fromkeys(value.dtype for value in placed):  # and packs only tensors of one type
                of_kind = [number for number, value in enumerate(placed) if value.dtype == kind]
                reduced = tf.distribute.get_replica_context().all_reduce("SUM", [placed[number] for number in of_kind])
                sums.update(zip(of_kind, reduced, strict=True))
            return [sums[number] for number in range(len(placed))]

        @tf.function(input_signature=signature)
        def train(tokens, photo):
            def local():
                with tf.GradientTape() as tape:
                    sums = summed(tokens, photo, training=True)
                gradients = tape.gradient(sums[0], variables)
                return reduce_sums([*sums, *map(tf.convert_to_tensor, gradients)])

            loss, correct, words, *gradients = self.strategy.run(local)
            gradients = [gradient / words for gradient in gradients]
            if self.clip_norm:
                gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm)
            self.optimizer.apply(gradients, variables)
            return tf.stack([loss, correct, words])

        @tf.function(input_signature=signature)
        def validate(tokens, photo):
            return tf.stack(summed(tokens, photo, training=False))

        @tf.function
        def total(values):
            return self.strategy.run(lambda: reduce_sums(values))

        self._train, self._validate, self._total = train, validate, total

    def train(self, batch, dropout_seed: tuple[int, ...]) -> np.ndarray:
        """One update with this worker's part of a global batch; the global (summed loss, correct words, words)."""
        self.seed_dropout(dropout_seed)
        return self._train(batch.tokens, batch.photo.astype(self.precision, copy=False)).numpy().astype("float64")

    def seed_dropout(self, seed: tuple[int, ...]) -> None:
        """Fixes the masks that the next step draws, another one for each layer."""
        for number, layer in enumerate(self.dropouts):
            layer.seed_generator.state.assign(np.random.SeedSequence((*seed, number)).generate_state(2))

    def validate(self, batch) -> np.ndarray:
        """This worker's (summed loss, correct words, words) of its part of a batch, without dropout."""
        return self._validate(batch.tokens, batch.photo.astype(self.precision, copy=False)).numpy().astype("float64")

    def total(self, values: list[np.ndarray]) -> list[np.ndarray]:
        """The sums of arrays over all workers, on every worker."""
        return [value.numpy() for value in self._total(values)]

    def gather(self, row: np.ndarray, rank: int, workers: int) -> np.ndarray:
        """Every worker's row of numbers, as a float64 matrix on every worker: a sum in which each fills its own row."""
        rows = np.zeros((workers, len(row)))
        rows[rank] = row
        return self.total([rows])[0]

    def synchronise(self, is_chief: bool) -> None:
        """Gives every worker the chief's variables: the others contribute zeros to one sum."""
        arrays = [np.asarray(variable) for variable in self.variables()]
        mine = [array if is_chief else np.zeros_like(array) for array in arrays]
        self.restore(self.total(mine))

    @property
    def learning_rate(self) -> float:
        return float(np.asarray(self.optimizer.learning_rate))

    def variables(self) -> list:
        return [*self.captioner.trainable_variables, *self.optimizer.variables]

    def snapshot(self) -> list[np.ndarray]:
        """Copies of all variables, of the model and of the optimizer."""
        return [np.array(variable) for variable in self.variables()]

    def weights(self) -> list[np.ndarray]:
        """Copies of the model's weights."""
        return [np.array(variable) for variable in self.captioner.trainable_variables]

    def restore(self, arrays: list[np.ndarray]) -> None:
        for variable, array in zip(self.variables(), arrays, strict=True):
            variable.assign(array)
