"""The captioner: an LSTM over the words and a dense layer over the photo's feature, added (the "merge" model)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from udfs.keras_setup import keras

TRUNK_OUTPUT, LOGITS = "decoder", "logits"


@dataclass(frozen=True)
class CaptionerShape:
    """Sizes of a captioner: of its vocabulary (with the reserved tokens), of the flat photo feature, and of its layers."""

    vocabulary_size: int
    feature_size: int
    embedding_dim: int = 256
    lstm_units: int = 256
    dropout: float = 0.5
    tie_embeddings: bool = False

    @property
    def parameters(self) -> int:
        """The number of trainable weights."""
        words, units, embedded = self.vocabulary_size, self.lstm_units, self.embedding_dim
        lstm = 4 * units * (embedded + units + 1)
        head = 0 if self.tie_embeddings else (units + 1) * words
        return words * embedded + lstm + (self.feature_size + 1 + units + 1) * units + head


def build_captioner(shape: CaptionerShape) -> keras.Model:
    """The captioner, from (tokens, photo) to the logits of each next word.

    With tied embeddings, logits are the products with each word's embedding (Press and Wolf, 2017), and lstm_units must equal
    embedding_dim.

    Returns:
        A model with the inputs tokens, int32 (batch, steps), padded with 0, and photo, (batch, feature_size) in Keras's float
        dtype. Its output is logits, (batch, steps, vocabulary_size) in that dtype; step t depends on tokens 0..t.
    """
    from udfs.keras_setup import keras

    layers = keras.layers
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    photo = keras.Input((shape.feature_size,), name="photo")
    layer = layers.ReversibleEmbedding if shape.tie_embeddings else layers.Embedding
    embedding = layer(shape.vocabulary_size, shape.embedding_dim, mask_zero=True, name="embedding")
    words = embedding(tokens)
    words = layers.Dropout(shape.dropout, name="word_dropout")(words)
    words = layers.LSTM(shape.lstm_units, return_sequences=True, name="lstm")(words)
    image = layers.Dropout(shape.dropout, name="photo_dropout")(photo)
    image = layers.Dense(shape.lstm_units, activation="relu", name="photo_dense")(image)
    image = layers.Reshape((1, shape.lstm_units), name="photo_step")(image)
    merged = layers.Add(name="merge")([words, image])
    merged = layers.Dense(shape.lstm_units, activation="relu", name=TRUNK_OUTPUT)(merged)
    tied = shape.tie_embeddings
    head = partial(embedding, reverse=True) if tied else layers.Dense(shape.vocabulary_size, name=LOGITS)
    return keras.Model([tokens, photo], head(merged), name="captioner")


def set_initial_bias(captioner: keras.Model, counts: tuple[int, ...]) -> None:
    """Sets the bias of the logits to the log of each word's share, so that training need not learn it.

    Args:
        counts: Occurrences by token_id. One is added to each, so that no word is impossible.
    """
    smoothed = np.array(counts) + 1.0
    captioner.get_layer(LOGITS).bias.assign(np.log(smoothed / smoothed.sum()))


def logits_head(captioner: keras.Model) -> Callable[[Any], Any]:
    """The function from the trunk's output (..., lstm_units) to logits (..., vocabulary_size)."""
    from udfs.keras_setup import keras

    embedding = captioner.get_layer("embedding")
    if isinstance(embedding, keras.layers.ReversibleEmbedding):
        return partial(embedding, reverse=True)
    return captioner.get_layer(LOGITS)


def training_trunk(captioner: keras.Model) -> Callable[..., Any]:
    """The function of (tokens, photo, training) to the trunk's output, (captions, steps, lstm_units), for training.

    It uses the captioner's own layers, except for the loop of its LSTM. It leaves out Keras's mask: padding comes last, so no
    prediction depends on it.
    """
    import tensorflow as tf

    from udfs.captioner.lstm import lstm

    layer, cell = captioner.get_layer, captioner.get_layer("lstm").cell

    def trunk(tokens, photo, training: bool):
        words = layer("word_dropout")(tf.identity(layer("embedding")(tokens)), training=training)
        weights = (tf.cast(weight, words.dtype) for weight in (cell.kernel, cell.recurrent_kernel, cell.bias))
        image = layer("photo_dense")(layer("photo_dropout")(photo, training=training))
        return layer(TRUNK_OUTPUT)(lstm(words, *weights) + image[:, None, :])

    return trunk
