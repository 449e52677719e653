"""An LSTM over whole sequences with a custom gradient, which trains faster than a loop over Keras's cell.

The weights are those of a keras.layers.LSTM; the gates are in its order: input, forget, candidate, output.
"""

from __future__ import annotations

from typing import Any


def gate_inputs(layer: Any, inputs: Any) -> Any:
    """What the inputs (..., features) contribute to the gates of an LSTM layer, (..., 4 units): one product for all steps."""
    import tensorflow as tf

    if not layer.built:
        layer.build((None, None, inputs.shape[-1]))
    cell = layer.cell
    return tf.tensordot(inputs, tf.cast(cell.kernel, inputs.dtype), 1) + tf.cast(cell.bias, inputs.dtype)


def lstm(layer: Any, gates: Any, hidden: Any, cell: Any) -> Any:
    """Computes the hidden states of an LSTM (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

    The gradient of the recurrent weights is one product after the backward loop, where automatic differentiation would add
    matrices of the weights' size at every step.

    Args:
        layer: A keras.layers.LSTM that is built.
        gates: What its inputs contribute to the gates, (batch, steps, 4 units). All arguments have the same float dtype.
        hidden: The hidden state before the first step, (batch, units).
        cell: The cell state before it, (batch, units).

    Returns:
        The hidden states, (batch, steps, units).
    """
    import tensorflow as tf

    @tf.custom_gradient
    def run(inputs, recurrent, first_hidden, first_cell):
        gates, cells, hiddens = _forward(tf.transpose(inputs, (1, 0, 2)), recurrent, first_hidden, first_cell)

        def gradient(upstream):
            upstream = tf.transpose(upstream, (1, 0, 2))
            previous_cells = tf.concat([first_cell[None], cells[:-1]], 0)
            of_gates, of_hidden, of_cell = _backward(upstream, gates, cells, previous_cells, recurrent)
            previous = tf.concat([first_hidden[None], hiddens[:-1]], 0)
            of_recurrent = tf.tensordot(previous, of_gates, [[0, 1], [0, 1]])
            return tf.transpose(of_gates, (1, 0, 2)), of_recurrent, of_hidden, of_cell

        return tf.transpose(hiddens, (1, 0, 2)), gradient

    return run(gates, tf.cast(layer.cell.recurrent_kernel, gates.dtype), hidden, cell)


def lstm_step(layer: Any, gates: Any, hidden: Any, cell: Any) -> tuple[Any, Any]:
    """One step of the same LSTM, from gates (batch, 4 units): the new hidden and cell states, (batch, units)."""
    import tensorflow as tf

    _, cell, hidden = _step(gates + hidden @ tf.cast(layer.cell.recurrent_kernel, gates.dtype), cell)
    return hidden, cell


def _step(gates, cell):
    """(activated gates, cell state, hidden state), from gates before activation and the last cell state."""
    import tensorflow as tf

    entry, forget, candidate, output = tf.split(gates, 4, axis=1)
    entry, forget, output = tf.sigmoid(entry), tf.sigmoid(forget), tf.sigmoid(output)
    candidate = tf.tanh(candidate)
    cell = forget * cell + entry * candidate
    return tf.concat([entry, forget, candidate, output], 1), cell, output * tf.tanh(cell)


def _forward(inputs, recurrent, hidden, cell):
    """(activated gates, cell states, hidden states) of all steps, from the inputs' part of the gates.

    inputs and gates: (steps, batch, 4 units); states: (steps, batch, units).
    """
    import tensorflow as tf

    steps = tf.shape(inputs)[0]
    arrays = [tf.TensorArray(inputs.dtype, steps) for _ in range(3)]

    def step(now, cell, hidden, *arrays):
        computed = _step(inputs[now] + hidden @ recurrent, cell)
        return now + 1, *computed[1:], *(array.write(now, part) for array, part in zip(arrays, computed, strict=True))

    *_, gates, cells, hiddens = tf.while_loop(lambda now, *_: now < steps, step, (0, cell, hidden, *arrays))
    return gates.stack(), cells.stack(), hiddens.stack()


def _backward(upstream, gates, cells, previous, recurrent):
    """(gradients of the gates before activation, of the first hidden state, of the first cell state).

    upstream, cells and previous: (steps, batch, units); gates and their gradients: (steps, batch, 4 units).
    """
    import tensorflow as tf

    steps = tf.shape(upstream)[0]
    zeros = tf.zeros_like(upstream[0])
    array = tf.TensorArray(upstream.dtype, steps)
    entry, forget, candidate, output = tf.split(gates, 4, axis=2)
    activated = tf.tanh(cells)
    # The factors of all steps' gradients, computed at once: from hidden state to cell, and from both to the four gates.
    to_cell = output * (1 - activated * activated)
    to_three = tf.concat(
        [candidate * entry * (1 - entry), previous * forget * (1 - forget), entry * (1 - candidate * candidate)], 2
    )
    to_output = activated * output * (1 - output)

    def step(now, of_cell, of_hidden, gate_gradients):
        of_hidden = of_hidden + upstream[now]
        of_cell = of_cell + of_hidden * to_cell[now]
        of_gates = tf.concat([tf.tile(of_cell, (1, 3)) * to_three[now], of_hidden * to_output[now]], 1)
        of_hidden = tf.matmul(of_gates, recurrent, transpose_b=True)
        return now - 1, of_cell * forget[now], of_hidden, gate_gradients.write(now, of_gates)

    *_, of_cell, of_hidden, gate_gradients = tf.while_loop(
        lambda now, *_: now >= 0, step, (steps - 1, zeros, zeros, array)
    )
    return gate_gradients.stack(), of_hidden, of_cell
