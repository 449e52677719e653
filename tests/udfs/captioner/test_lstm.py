import keras
import numpy as np
import pytest
import tensorflow as tf

from udfs.captioner.lstm import lstm


@pytest.mark.parametrize(("batch", "steps"), [(1, 1), (3, 1), (4, 9)])
def test_states_and_gradients_are_those_of_keras(batch, steps):
    random = np.random.default_rng((batch, steps))
    layer = keras.layers.LSTM(5, return_sequences=True, dtype="float64")
    layer.build((None, None, 3))
    for variable in layer.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    inputs = tf.constant(random.normal(size=(batch, steps, 3)))
    weights = [tf.convert_to_tensor(variable) for variable in layer.trainable_variables]
    upstream = tf.constant(random.normal(size=(batch, steps, 5)))

    def followed(run, variables) -> list:
        with tf.GradientTape() as tape:
            tape.watch([inputs, *weights])
            hidden = run()
            loss = tf.reduce_sum(hidden * upstream)
        return [hidden, *tape.gradient(loss, [inputs, *variables])]

    expected = followed(lambda: layer(inputs), layer.trainable_variables)
    found = followed(tf.function(lambda: lstm(inputs, *weights)), weights)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_half_precision_stays_near():
    random = np.random.default_rng(0)
    arrays = [random.normal(size=shape) * 0.3 for shape in ((4, 9, 3), (3, 20), (5, 20), (20,))]
    narrow = lstm(*(tf.constant(array, tf.bfloat16) for array in arrays))
    assert narrow.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(narrow, "float64"), lstm(*map(tf.constant, arrays)), atol=0.02)
