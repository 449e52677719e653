import keras
import numpy as np
import pytest
import tensorflow as tf

from udfs.captioner.lstm import gate_inputs, lstm


def layer_of(random, dtype: str) -> keras.layers.LSTM:
    layer = keras.layers.LSTM(5, return_sequences=True, dtype="float64")
    layer.build((None, None, 3))
    for variable in layer.trainable_variables:
        variable.assign(random.normal(size=variable.shape) * (1 if dtype == "float64" else 0.3))
    return layer


@pytest.mark.parametrize(("batch", "steps"), [(1, 1), (3, 1), (4, 9)])
def test_states_and_gradients_are_those_of_keras(batch, steps):
    random = np.random.default_rng((batch, steps))
    layer = layer_of(random, "float64")
    inputs = tf.constant(random.normal(size=(batch, steps, 3)))
    start = [tf.constant(random.normal(size=(batch, 5))) for _ in range(2)]
    upstream = tf.constant(random.normal(size=(batch, steps, 5)))

    def followed(run) -> list:
        with tf.GradientTape() as tape:
            tape.watch([inputs, *start])
            hidden = run()
            loss = tf.reduce_sum(hidden * upstream)
        return [hidden, *tape.gradient(loss, [inputs, *start, *layer.trainable_variables])]

    expected = followed(lambda: layer(inputs, initial_state=start))
    found = followed(tf.function(lambda: lstm(layer, gate_inputs(layer, inputs), *start)))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_half_precision_stays_near():
    random = np.random.default_rng(0)
    layer, inputs = layer_of(random, "bfloat16"), random.normal(size=(4, 9, 3)) * 0.3
    narrow, wide = (
        lstm(layer, gate_inputs(layer, tf.constant(inputs, dtype)), *[tf.zeros((4, 5), dtype)] * 2)
        for dtype in (tf.bfloat16, tf.float64)
    )
    assert narrow.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(narrow, "float64"), wide, atol=0.02)
