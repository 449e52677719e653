"""The merge model as a functional Keras model of stock layers: the peer of `Merge`, and what version 0.1 saved."""

from __future__ import annotations

from functools import partial

import keras

from udfs.captioner.shape import CaptionerShape


def keras_merge(shape: CaptionerShape) -> keras.Model:
    """The model from (tokens, photo) to logits, without normalisation."""
    layers = keras.layers
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    photo = keras.Input((shape.feature_size,), name="photo")
    layer = layers.ReversibleEmbedding if shape.tie_embeddings else layers.Embedding
    embedding = layer(shape.vocabulary_size, shape.embedding_dim, mask_zero=True, name="embedding")
    words = layers.Dropout(shape.dropout, name="word_dropout")(embedding(tokens))
    words = layers.LSTM(shape.lstm_units, return_sequences=True, name="lstm")(words)
    image = layers.Dropout(shape.dropout, name="photo_dropout")(photo)
    image = layers.Dense(shape.lstm_units, activation="relu", name="photo_dense")(image)
    merged = layers.Add(name="merge")([words, layers.Reshape((1, shape.lstm_units), name="photo_step")(image)])
    merged = layers.Dense(shape.lstm_units, activation="relu", name="decoder")(merged)
    tied = shape.tie_embeddings
    head = partial(embedding, reverse=True) if tied else layers.Dense(shape.vocabulary_size, name="logits")
    return keras.Model([tokens, photo], head(merged), name="captioner")
