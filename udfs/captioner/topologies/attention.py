"""An LSTM that attends to the positions of a photo's feature map after each word.

The attention is queried with the hidden state and not fed back, so that training computes it for all words at once, outside the
loop of the LSTM (Lu et al., 2017, "Knowing when to look", without its sentinel).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from udfs.captioner.lstm import gate_inputs, lstm, lstm_step
from udfs.captioner.shape import CaptionerShape
from udfs.captioner.topologies.base import Captioner, Tensors
from udfs.captioner.topologies.heads import attended, attention_weights
from udfs.captioner.topologies.options import read_options, require_multiple
from udfs.keras_setup import keras


@dataclass(frozen=True)
class AttentionOptions:
    """The sizes of the attention, by the names of `model.options`.

    Attributes:
        heads: Attention heads, which divide both sizes.
        key_dim: Size of all keys together, and of the queries.
        value_dim: Size of all values together.
        value_dropout: Fraction of the values dropped in training.
        channel_dropout: Fraction of the map's channels dropped as a whole.
    """

    heads: int = 4
    key_dim: int = 256
    value_dim: int = 320
    value_dropout: float = 0.1
    channel_dropout: float = 0.1

    @staticmethod
    def of(options: dict[str, Any]) -> AttentionOptions:
        """The options of a configuration. Raises InputError if one is unknown or does not fit."""
        values = read_options(AttentionOptions, options)
        for name in ("key_dim", "value_dim"):
            require_multiple(f"model.options: {name}", getattr(values, name), values.heads)
        return values


class Attention(Captioner):
    """The attending captioner, for feature maps (rows, columns, channels).

    The map's mean over its positions gives the first state, a part of the gates, and a part of the output.
    """

    needs = "map"

    def __init__(self, shape: CaptionerShape, name: str = "captioner"):
        super().__init__(shape, name)
        self.options = options = AttentionOptions.of(shape.options)
        layers, units, size = keras.layers, shape.lstm_units, shape.embedding_dim
        self.embedding = layers.ReversibleEmbedding(
            shape.vocabulary_size, size, tie_weights=shape.tie_embeddings, name="embedding"
        )
        self.bias = self.add_weight(shape=(shape.vocabulary_size,), initializer="zeros", name="logits_bias")
        self.word_dropout = layers.Dropout(shape.dropout, name="word_dropout")
        self.channel_dropout = layers.SpatialDropout1D(options.channel_dropout, name="channel_dropout")
        self.values = layers.Dense(options.value_dim, activation="relu", name="values")
        self.value_dropout = layers.Dropout(options.value_dropout, name="value_dropout")
        self.keys = layers.Dense(options.key_dim, use_bias=False, name="keys")
        self.pooled = layers.Dense(units, activation="relu", name="pooled")
        self.pooled_dropout = layers.Dropout(shape.dropout, name="pooled_dropout")
        self.first_hidden = layers.Dense(units, activation="tanh", name="first_hidden")
        self.first_cell = layers.Dense(units, name="first_cell")
        self.photo_gates = layers.Dense(4 * units, use_bias=False, name="photo_gates")
        self.lstm = layers.LSTM(units, return_sequences=True, name="lstm")
        self.hidden_dropout = layers.Dropout(shape.dropout, name="hidden_dropout")
        self.queries = layers.Dense(options.key_dim, use_bias=False, name="queries")
        self.output_of_hidden = layers.Dense(size, name="output_of_hidden")
        self.output_of_context = layers.Dense(size, use_bias=False, name="output_of_context")
        self.output_of_photo = layers.Dense(size, use_bias=False, name="output_of_photo")
        self.output_dropout = layers.Dropout(shape.dropout, name="output_dropout")

    def encode(self, photo: Any, training: bool = False) -> Tensors:
        """(keys, values, pooled vector, its part of the gates, its part of the output) of each photo."""
        import tensorflow as tf

        flat = tf.reshape(self.normalised(photo), (tf.shape(photo)[0], -1, self.shape.feature_shape[-1]))
        positions = self.channel_dropout(flat, training=training)
        values = self.value_dropout(self.values(positions), training=training)
        pooled = self.pooled_dropout(self.pooled(tf.reduce_mean(positions, axis=1)), training=training)
        return self.keys(values), values, pooled, self.photo_gates(pooled), self.output_of_photo(pooled)

    def start(self, encoded: Tensors) -> Tensors:
        return self.first_hidden(encoded[2]), self.first_cell(encoded[2])

    def hidden(self, tokens: Any, encoded: Tensors, training: bool = False) -> Any:
        return self._output(self._states(tokens, encoded, training), encoded, training)

    def step(self, token: Any, state: Tensors, encoded: Tensors) -> tuple[Any, Tensors]:
        state = lstm_step(self.lstm, gate_inputs(self.lstm, self.embedding(token)) + encoded[3], *state)
        return self._output(state[0][:, None, :], encoded)[:, 0], state

    def logits(self, hidden: Any) -> Any:
        import tensorflow as tf

        return self.embedding(hidden, reverse=True) + tf.cast(self.bias, hidden.dtype)

    def set_initial_bias(self, bias: Any) -> None:
        self.bias.assign(bias)

    def word_maps(self, tokens: Any, photo: Any) -> Any | None:
        """The attention's weights, mean over the heads, in the rows and columns of the feature map."""
        import tensorflow as tf

        encoded, (*grid, _) = self.encode(photo), self.shape.feature_shape
        if len(grid) != 2:
            return None
        weights = tf.reduce_mean(self.attention(self._states(tokens, encoded), encoded[0]), axis=1)
        return tf.reshape(weights, (*tf.unstack(tf.shape(weights)[:2]), *grid))

    def attention(self, hidden: Any, keys: Any) -> Any:
        """The weights (captions, heads, steps, positions) of hidden states (captions, steps, units) on keys."""
        return attention_weights(self.queries(hidden), keys, self.options.heads)

    def _states(self, tokens: Any, encoded: Tensors, training: bool = False) -> Any:
        """The LSTM's hidden states, (captions, steps, units)."""
        words = self.word_dropout(self.embedding(tokens), training=training)
        gates = gate_inputs(self.lstm, words) + encoded[3][:, None, :]
        return lstm(self.lstm, gates, *self.start(encoded))

    def _output(self, hidden: Any, encoded: Tensors, training: bool = False) -> Any:
        import tensorflow as tf

        keys, values, _, _, of_photo = encoded
        context = attended(self.attention(hidden, keys), values, self.options.heads)
        own = self.output_of_hidden(self.hidden_dropout(hidden, training=training))
        output = tf.nn.relu(own + self.output_of_context(context) + of_photo[:, None, :])
        return self.output_dropout(output, training=training)
