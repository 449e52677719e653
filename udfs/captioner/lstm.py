"""An LSTM over whole sequences, faster to train than a loop over Keras's cell: what needs no loop stands outside of it."""

from __future__ import annotations


def lstm(inputs, kernel, recurrent, bias):
    """The hidden states of an LSTM that begins with zeros (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

    inputs: (batch, steps, features); kernel: (features, 4 units), recurrent: (units, 4 units), bias: (4 units,), with the
    gates in Keras's order: input, forget, candidate, output. All of one float type. Returns: (batch, steps, units).

    The inputs' part of all gates is one product before the loop, and the weights' gradients are one product each after the
    backward loop, where automatic differentiation would add up matrices of the weights' size at every step.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def run(inputs, kernel, recurrent, bias):
        sequence = tf.transpose(inputs, (1, 0, 2))
        gates, cells, hidden = _forward(tf.tensordot(sequence, kernel, 1) + bias, recurrent)

        def gradient(upstream):
            parts = _backward(tf.transpose(upstream, (1, 0, 2)), gates, cells, recurrent)
            before = tf.concat([tf.zeros_like(hidden[:1]), hidden[:-1]], 0)
            of_inputs = tf.transpose(tf.tensordot(parts, kernel, [[2], [1]]), (1, 0, 2))
            of_weights = [tf.tensordot(rows, parts, [[0, 1], [0, 1]]) for rows in (sequence, before)]
            return of_inputs, *of_weights, tf.reduce_sum(parts, (0, 1))

        return tf.transpose(hidden, (1, 0, 2)), gradient

    return run(inputs, kernel, recurrent, bias)


def _forward(given, recurrent):
    """From the inputs' part of the gates, (steps, batch, 4 units): activated gates, cell states and hidden states by step."""
    import tensorflow as tf

    steps, units = tf.shape(given)[0], recurrent.shape[0]
    start = tf.zeros((tf.shape(given)[1], units), given.dtype)
    kept = [tf.TensorArray(given.dtype, steps) for _ in range(3)]

    def step(now, cell, hidden, gates, cells, hiddens):
        entry, forget, candidate, output = tf.split(given[now] + hidden @ recurrent, 4, axis=1)
        entry, forget, output = tf.sigmoid(entry), tf.sigmoid(forget), tf.sigmoid(output)
        candidate = tf.tanh(candidate)
        cell = forget * cell + entry * candidate
        hidden = output * tf.tanh(cell)
        gates = gates.write(now, tf.concat([entry, forget, candidate, output], 1))
        return now + 1, cell, hidden, gates, cells.write(now, cell), hiddens.write(now, hidden)

    *_, gates, cells, hiddens = tf.while_loop(lambda now, *_: now < steps, step, (0, start, start, *kept))
    return gates.stack(), cells.stack(), hiddens.stack()


def _backward(upstream, gates, cells, recurrent):
    """The loss's gradients by the gates before their activation, (steps, batch, 4 units), from those by the hidden states."""
    import tensorflow as tf

    steps = tf.shape(upstream)[0]
    nothing = tf.zeros_like(upstream[0])
    kept = tf.TensorArray(upstream.dtype, steps)
    entry, forget, candidate, output = tf.split(gates, 4, axis=2)
    bent = tf.tanh(cells)
    before = tf.concat([nothing[None], cells[:-1]], 0)
    # What the steps multiply the gradients by, for all steps at once: from hidden to cell, and on to the four gates.
    to_cell = output * (1 - bent * bent)
    to_three = tf.concat(
        [candidate * entry * (1 - entry), before * forget * (1 - forget), entry * (1 - candidate * candidate)], 2
    )
    to_output = bent * output * (1 - output)

    def step(now, of_cell, of_hidden, parts):
        of_hidden = of_hidden + upstream[now]
        of_cell = of_cell + of_hidden * to_cell[now]
        part = tf.concat([tf.tile(of_cell, (1, 3)) * to_three[now], of_hidden * to_output[now]], 1)
        of_hidden = tf.matmul(part, recurrent, transpose_b=True)
        return now - 1, of_cell * forget[now], of_hidden, parts.write(now, part)

    *_, parts = tf.while_loop(lambda now, *_: now >= 0, step, (steps - 1, nothing, nothing, kept))
    return parts.stack()
