"""An LSTM over whole sequences with a custom gradient, which trains faster than a loop over Keras's cell."""

from __future__ import annotations


def lstm(inputs, kernel, recurrent, bias):
    """Computes the hidden states of an LSTM with a zero initial state (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

    The contribution of the inputs to all gates is one product before the loop. The gradient of each weight is one product
    after the backward loop, where automatic differentiation would add matrices of the weight's size at every step.

    Args:
        inputs: (batch, steps, features). All arguments have the same float dtype.
        kernel: (features, 4 units). The gates are in Keras's order: input, forget, candidate, output.
        recurrent: (units, 4 units).
        bias: (4 units,).

    Returns:
        The hidden states, (batch, steps, units).
    """
    import tensorflow as tf

    @tf.custom_gradient
    def run(inputs, kernel, recurrent, bias):
        sequence = tf.transpose(inputs, (1, 0, 2))
        gates, cells, hidden = _forward(tf.tensordot(sequence, kernel, 1) + bias, recurrent)

        def gradient(upstream):
            gate_gradients = _backward(tf.transpose(upstream, (1, 0, 2)), gates, cells, recurrent)
            previous = tf.concat([tf.zeros_like(hidden[:1]), hidden[:-1]], 0)
            of_inputs = tf.transpose(tf.tensordot(gate_gradients, kernel, [[2], [1]]), (1, 0, 2))
            of_weights = [tf.tensordot(rows, gate_gradients, [[0, 1], [0, 1]]) for rows in (sequence, previous)]
            return of_inputs, *of_weights, tf.reduce_sum(gate_gradients, (0, 1))

        return tf.transpose(hidden, (1, 0, 2)), gradient

    return run(inputs, kernel, recurrent, bias)


def _forward(input_part, recurrent):
    """(activated gates, cell states, hidden states) of all steps, from the inputs' part of the gates.

    input_part and gates: (steps, batch, 4 units); states: (steps, batch, units).
    """
    import tensorflow as tf

    steps, units = tf.shape(input_part)[0], recurrent.shape[0]
    start = tf.zeros((tf.shape(input_part)[1], units), input_part.dtype)
    arrays = [tf.TensorArray(input_part.dtype, steps) for _ in range(3)]

    def step(now, cell, hidden, gates, cells, hiddens):
        entry, forget, candidate, output = tf.split(input_part[now] + hidden @ recurrent, 4, axis=1)
        entry, forget, output = tf.sigmoid(entry), tf.sigmoid(forget), tf.sigmoid(output)
        candidate = tf.tanh(candidate)
        cell = forget * cell + entry * candidate
        hidden = output * tf.tanh(cell)
        gates = gates.write(now, tf.concat([entry, forget, candidate, output], 1))
        return now + 1, cell, hidden, gates, cells.write(now, cell), hiddens.write(now, hidden)

    *_, gates, cells, hiddens = tf.while_loop(lambda now, *_: now < steps, step, (0, start, start, *arrays))
    return gates.stack(), cells.stack(), hiddens.stack()


def _backward(upstream, gates, cells, recurrent):
    """The gradients of the gates before activation, (steps, batch, 4 units), from those of the hidden states."""
    import tensorflow as tf

    steps = tf.shape(upstream)[0]
    zeros = tf.zeros_like(upstream[0])
    array = tf.TensorArray(upstream.dtype, steps)
    entry, forget, candidate, output = tf.split(gates, 4, axis=2)
    activated = tf.tanh(cells)
    previous = tf.concat([zeros[None], cells[:-1]], 0)
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

    *_, gate_gradients = tf.while_loop(lambda now, *_: now >= 0, step, (steps - 1, zeros, zeros, array))
    return gate_gradients.stack()
