"""The "merge" model: an LSTM over the words and a dense layer over the photo's feature, added (Tanti et al., 2017)."""

from __future__ import annotations

from typing import Any

from udfs.captioner.lstm import gate_inputs, lstm, lstm_step
from udfs.captioner.shape import CaptionerShape
from udfs.captioner.topologies.base import Captioner, Tensors
from udfs.keras_setup import keras


class Merge(Captioner):
    """The merge model. A map counts as one long vector."""

    def __init__(self, shape: CaptionerShape, name: str = "captioner"):
        super().__init__(shape, name)
        layers, units, words = keras.layers, shape.lstm_units, shape.vocabulary_size
        embedding = layers.ReversibleEmbedding if shape.tie_embeddings else layers.Embedding
        self.embedding = embedding(words, shape.embedding_dim, name="embedding")
        self.word_dropout = layers.Dropout(shape.dropout, name="word_dropout")
        self.photo_dropout = layers.Dropout(shape.dropout, name="photo_dropout")
        self.photo_dense = layers.Dense(units, activation="relu", name="photo_dense")
        self.lstm = layers.LSTM(units, return_sequences=True, name="lstm")
        self.decoder = layers.Dense(units, activation="relu", name="decoder")
        self.output_layer = None if shape.tie_embeddings else layers.Dense(words, name="logits")

    def encode(self, photo: Any, training: bool = False) -> Tensors:
        import tensorflow as tf

        flat = tf.reshape(self.normalised(photo), (-1, self.shape.feature_size))
        return (self.photo_dense(self.photo_dropout(flat, training=training)),)

    def hidden(self, tokens: Any, encoded: Tensors, training: bool = False) -> Any:
        words = self.word_dropout(self.embedding(tokens), training=training)
        states = lstm(self.lstm, gate_inputs(self.lstm, words), *self.start(encoded))
        return self.decoder(states + encoded[0][:, None, :])

    def start(self, encoded: Tensors) -> Tensors:
        import tensorflow as tf

        return tf.zeros_like(encoded[0]), tf.zeros_like(encoded[0])

    def step(self, token: Any, state: Tensors, encoded: Tensors) -> tuple[Any, Tensors]:
        state = lstm_step(self.lstm, gate_inputs(self.lstm, self.embedding(token)), *state)
        return self.decoder(state[0] + encoded[0]), state

    def logits(self, hidden: Any) -> Any:
        return self.embedding(hidden, reverse=True) if self.output_layer is None else self.output_layer(hidden)

    def set_initial_bias(self, bias: Any) -> None:
        assert self.output_layer is not None, "the configuration refuses model.initial_bias with tied embeddings"
        self.output_layer.bias.assign(bias)
