"""A model of another kind for the engine: the example of docs/your_own_model.md."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LinearRegression:
    """Predicts the column y, a number, from the column x, a list of numbers. An example is a row of the table."""

    inputs: int

    columns = ("x", "y")
    metric_names = ("absolute_error",)
    score_names = ()
    example_unit = weight_unit = "rows"
    seeded = False

    def examples(self, columns):
        return Rows(columns["x"], columns["y"])

    def augmented(self, examples, seed):
        return examples

    def join(self, parts):
        return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))

    def empty_batch(self):
        return np.zeros((1, self.inputs)), np.zeros(1), np.zeros(1)

    def signature(self, dtype):
        import tensorflow as tf

        return [tf.TensorSpec((None, self.inputs), dtype), tf.TensorSpec((None,), dtype), tf.TensorSpec((None,), dtype)]

    def build_model(self):
        import keras

        return keras.Sequential([keras.Input((self.inputs,)), keras.layers.Dense(1)])

    def loss_function(self, model):
        import tensorflow as tf

        from udfs.engine.task import LossSums

        def loss(x, y, weight, training):
            error = (model(x, training=training)[:, 0] - y) * weight
            squared = tf.reduce_sum(error**2)
            return LossSums(squared, squared, tf.reduce_sum(weight), (tf.reduce_sum(tf.abs(error)),))

        return loss

    def scorer(self, model):
        return None


@dataclass(frozen=True)
class Rows:
    x: np.ndarray
    y: np.ndarray

    def __len__(self):
        return len(self.y)

    def lengths(self):
        return np.ones(len(self.y), "int64")

    def take(self, positions):
        return self.x[positions], self.y[positions], np.ones(len(positions))
