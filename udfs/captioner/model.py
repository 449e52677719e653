"""The thesis's captioner: an LSTM over the words and a dense layer over the photo's feature, added (the "merge" model)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

TRUNK_OUTPUT, LOGITS = "decoder", "logits"


@dataclass(frozen=True)
class CaptionerShape:
    """Sizes of a captioner: of its vocabulary (reserved tokens included), the flat photo feature, and its layers."""

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


def set_number_format(precision: str) -> None:
    """Keras's number formats, for what is built from now on: float32, float64, or mixed_bfloat16.

    With the last, weights and gradients are float32, and layers compute in bfloat16.
    """
    import keras

    keras.config.set_floatx("float64" if precision == "float64" else "float32")
    keras.config.set_dtype_policy(precision)


def build_captioner(shape: CaptionerShape) -> keras.Model:
    """The captioner, from (tokens, photo) to the logits of each next word.

    Inputs: tokens int32 (batch, steps), padded with 0; photo (batch, feature_size) in Keras's float type.
    Output: logits (batch, steps, vocabulary_size) in that type; step t is read after tokens 0..t. Where embeddings are
    tied, logits are the products with each word's embedding (Press and Wolf, 2017), and lstm_units equals embedding_dim.
    """
    import keras
    from keras import layers

    tokens = keras.Input((None,), dtype="int32", name="tokens")
    photo = keras.Input((shape.feature_size,), name="photo")
    kind = layers.ReversibleEmbedding if shape.tie_embeddings else layers.Embedding
    embedding = kind(shape.vocabulary_size, shape.embedding_dim, mask_zero=True, name="embedding")
    words = embedding(tokens)
    words = layers.Dropout(shape.dropout, name="word_dropout")(words)
    words = layers.LSTM(shape.lstm_units, return_sequences=True, name="lstm")(words)
    seen = layers.Dropout(shape.dropout, name="photo_dropout")(photo)
    seen = layers.Dense(shape.lstm_units, activation="relu", name="photo_dense")(seen)
    seen = layers.Reshape((1, shape.lstm_units), name="photo_step")(seen)
    both = layers.Add(name="merge")([words, seen])
    both = layers.Dense(shape.lstm_units, activation="relu", name=TRUNK_OUTPUT)(both)
    tied = shape.tie_embeddings
    head = partial(embedding, reverse=True) if tied else layers.Dense(shape.vocabulary_size, name=LOGITS)
    return keras.Model([tokens, photo], head(both), name="captioner")


def predict_frequencies(captioner: keras.Model, counts: tuple[int, ...]) -> None:
    """Sets the bias of the logits so that a captioner whose weights say nothing predicts each word as often as it occurs.

    counts: by token_id; one more of each is supposed, so that none is impossible.
    """
    seen = np.array(counts) + 1.0
    captioner.get_layer(LOGITS).bias.assign(np.log(seen / seen.sum()))


def logits_head(captioner: keras.Model):
    """The function from the trunk's output (..., lstm_units) to logits (..., vocabulary_size)."""
    from keras import layers

    embedding = captioner.get_layer("embedding")
    if isinstance(embedding, layers.ReversibleEmbedding):
        return partial(embedding, reverse=True)
    return captioner.get_layer(LOGITS)


def trained_trunk(captioner: keras.Model):
    """The function of (tokens, photo, training) to the trunk's output, (captions, steps, lstm_units), for training.

    The captioner's own layers, but for the loop of its LSTM. Keras's mask is left out: padding comes last, so it touches
    nothing that a word is predicted from.
    """
    import tensorflow as tf

    from udfs.captioner.lstm import lstm

    layer, cell = captioner.get_layer, captioner.get_layer("lstm").cell

    def trunk(tokens, photo, training: bool):
        words = layer("word_dropout")(tf.identity(layer("embedding")(tokens)), training=training)
        weights = (tf.cast(weight, words.dtype) for weight in (cell.kernel, cell.recurrent_kernel, cell.bias))
        seen = layer("photo_dense")(layer("photo_dropout")(photo, training=training))
        return layer(TRUNK_OUTPUT)(lstm(words, *weights) + seen[:, None, :])

    return trunk


def summed_loss(captioner: keras.Model):
    """A function of (tokens, photo, training, smoothing) to the summed loss of all next-word predictions and their number.

    tokens: int32 (captions, steps + 1), padded with 0. Position t predicts token t + 1; where that is padding, nothing is
    predicted. One pass over a caption gives the losses that one sample per (prefix, next word) would, since an LSTM's
    state at t depends on tokens 0..t alone. Logits are computed only where a word is predicted.
    smoothing: the share of a target's probability that is spread evenly over the vocabulary (Szegedy et al., 2016).

    Returns: floats of Keras's float type: the sum to minimise; the sum of cross-entropies in nats, without smoothing;
    correct argmax predictions; the number of predicted words.
    """
    import keras
    import tensorflow as tf

    trunk, head, precision = trained_trunk(captioner), logits_head(captioner), keras.config.floatx()

    def loss(tokens, photo, training: bool, smoothing: float = 0.0):
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        hidden = trunk(inputs, photo, training)
        predicted = targets != 0
        logits = tf.cast(head(tf.boolean_mask(hidden, predicted)), precision)
        words = tf.boolean_mask(targets, predicted)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=words, logits=logits)
        correct = tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == words, logits.dtype)
        total, target = tf.reduce_sum(losses), losses
        if smoothing:
            even = tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_mean(logits, axis=-1)
            target = (1 - smoothing) * losses + smoothing * even
        return tf.reduce_sum(target), total, tf.reduce_sum(correct), tf.cast(tf.size(words), precision)

    return loss
