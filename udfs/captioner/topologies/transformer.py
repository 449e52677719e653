"""A small transformer decoder that attends to the words before it and to the positions of a photo's feature map.

Blocks of masked self-attention, attention to the photo, and a feed-forward network (Vaswani et al., 2017, "Attention is all you
need"), with the normalisation in front of each (Xiong et al., 2020, "On layer normalization in the transformer architecture").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from udfs.captioner.shape import CaptionerShape
from udfs.captioner.topologies.base import Captioner, Tensors
from udfs.captioner.topologies.heads import attended, attention_weights
from udfs.captioner.topologies.options import read_options, require_multiple
from udfs.keras_setup import keras

FORBIDDEN = -1e4  # added to the logits of positions that must not be seen; it fits 16 bits


@dataclass(frozen=True)
class TransformerOptions:
    """The sizes of the transformer, by the names of `model.options`. The width of the blocks is `model.embedding_dim`.

    Attributes:
        layers: Blocks.
        heads: Attention heads, which divide the width.
        feed_forward: Width of the feed-forward network, as a multiple of the width.
        positions: The largest number of tokens of a caption, the start token included.
        map_dropout: Fraction of the encoded map's numbers dropped in training.
        channel_dropout: Fraction of the map's channels dropped as a whole.
    """

    layers: int = 2
    heads: int = 4
    feed_forward: int = 4
    positions: int = 64
    map_dropout: float = 0.1
    channel_dropout: float = 0.1


class Transformer(Captioner):
    """The transformer captioner, for feature maps (rows, columns, channels).

    It attends to the map's positions and to their mean, which comes first.
    """

    needs = "map"

    def __init__(self, shape: CaptionerShape, name: str = "captioner"):
        super().__init__(shape, name)
        self.options = options = read_options(TransformerOptions, shape.options)
        layers, size = keras.layers, shape.embedding_dim
        require_multiple("model.embedding_dim", size, options.heads)
        self.embedding = layers.ReversibleEmbedding(
            shape.vocabulary_size, size, tie_weights=shape.tie_embeddings, name="embedding"
        )
        self.bias = self.add_weight(shape=(shape.vocabulary_size,), initializer="zeros", name="logits_bias")
        self.positions = layers.Embedding(options.positions, size, name="positions")
        self.word_dropout = layers.Dropout(shape.dropout, name="word_dropout")
        self.channel_dropout = layers.SpatialDropout1D(options.channel_dropout, name="channel_dropout")
        self.map = layers.Dense(size, activation="relu", name="map")
        self.pooled = layers.Dense(size, activation="relu", name="pooled")
        self.map_dropout = layers.Dropout(options.map_dropout, name="map_dropout")
        self.blocks = [
            Block(size, options.heads, options.feed_forward, shape.dropout, name=f"block_{number}")
            for number in range(options.layers)
        ]
        self.norm = layers.LayerNormalization(name="norm")

    def encode(self, photo: Any, training: bool = False) -> Tensors:
        """The keys and values (photos, 1 + positions, 2 * width) of each block."""
        import tensorflow as tf

        flat = tf.reshape(self.normalised(photo), (tf.shape(photo)[0], -1, self.shape.feature_shape[-1]))
        flat = self.channel_dropout(flat, training=training)
        pooled = self.pooled(tf.reduce_mean(flat, axis=1, keepdims=True))
        memory = self.map_dropout(tf.concat([pooled, self.map(flat)], axis=1), training=training)
        return tuple(block.photo_memory(memory) for block in self.blocks)

    def start(self, encoded: Tensors) -> Tensors:
        """The number of tokens so far, and room for the keys and values of each block: (captions, positions, 2 * width)."""
        import tensorflow as tf

        rows, room = tf.shape(encoded[0])[0], (self.options.positions, 2 * self.shape.embedding_dim)
        empty = tf.zeros((rows, *room), self.compute_dtype)
        return tf.zeros([rows], tf.int32), *[empty for _ in self.blocks]

    def hidden(self, tokens: Any, encoded: Tensors, training: bool = False) -> Any:
        return self.norm(self._blocks(tokens, encoded, training)[0])

    def step(self, token: Any, state: Tensors, encoded: Tensors) -> tuple[Any, Tensors]:
        import tensorflow as tf

        place, *rooms = state
        words = self._words(token[:, None], place[:, None])
        here = tf.one_hot(place, self.options.positions, dtype=words.dtype)[:, :, None]
        seen = tf.range(self.options.positions)[None] <= place[:, None]
        unseen = tf.where(seen, tf.zeros((), words.dtype), tf.constant(FORBIDDEN, words.dtype))[:, None, None, :]
        filled = []
        for block, room, memory in zip(self.blocks, rooms, encoded, strict=True):
            queries, own = block.begin(words)
            room = room + here * own
            words, _ = block(words, queries, room, unseen, memory)
            filled.append(room)
        return self.norm(words)[:, 0], (place + 1, *filled)

    def logits(self, hidden: Any) -> Any:
        import tensorflow as tf

        return self.embedding(hidden, reverse=True) + tf.cast(self.bias, hidden.dtype)

    def set_initial_bias(self, bias: Any) -> None:
        self.bias.assign(bias)

    def word_maps(self, tokens: Any, photo: Any) -> Any | None:
        """The last block's weights on the map, mean over the heads and of sum 1, in its rows and columns."""
        import tensorflow as tf

        *grid, _ = self.shape.feature_shape
        if len(grid) != 2:
            return None
        weights = tf.reduce_mean(self._blocks(tokens, self.encode(photo))[1], axis=1)[:, :, 1:]
        weights = weights / tf.reduce_sum(weights, axis=-1, keepdims=True)
        return tf.reshape(weights, (*tf.unstack(tf.shape(weights)[:2]), *grid))

    def _blocks(self, tokens: Any, encoded: Tensors, training: bool = False) -> tuple[Any, Any]:
        """The last block's output (captions, steps, width), and its weights (captions, heads, steps, 1 + positions)."""
        import tensorflow as tf

        steps = tf.shape(tokens)[1]
        words = self.word_dropout(self._words(tokens, tf.range(steps)[None]), training=training)
        unseen = FORBIDDEN * (1 - tf.linalg.band_part(tf.ones((steps, steps), words.dtype), -1, 0))
        weights = None
        for block, memory in zip(self.blocks, encoded, strict=True):
            words, weights = block(words, *block.begin(words), unseen, memory, training=training)
        return words, weights

    def _words(self, tokens: Any, places: Any) -> Any:
        """The embeddings of tokens and of their places in the caption."""
        import tensorflow as tf

        limit = self.options.positions
        problem = (
            f"model.options: positions={limit} are fewer than the tokens of a caption; set it to text.max_length + 2"
        )
        with tf.control_dependencies([tf.debugging.assert_less(places, limit, problem)]):
            places = tf.identity(places)
        return self.embedding(tokens) * self.shape.embedding_dim**0.5 + self.positions(places)


class Block(keras.layers.Layer):
    """One block of the decoder, on inputs (captions, steps, width).

    Args:
        size: The width.
        heads: Attention heads, which divide it.
        feed_forward: Width of the feed-forward network, as a multiple.
        dropout: Fraction dropped of what each part adds.
        name: The layer's name.
    """

    def __init__(self, size: int, heads: int, feed_forward: int, dropout: float, name: str):
        super().__init__(name=name)
        layers = keras.layers
        self.heads, self.built = heads, True  # its layers build themselves
        self.own_norm = layers.LayerNormalization(name="own_norm")
        self.own_queries = layers.Dense(size, use_bias=False, name="own_queries")
        self.own_keys_values = layers.Dense(2 * size, use_bias=False, name="own_keys_values")
        self.own_output = layers.Dense(size, name="own_output")
        self.photo_norm = layers.LayerNormalization(name="photo_norm")
        self.photo_queries = layers.Dense(size, use_bias=False, name="photo_queries")
        self.photo_memory = layers.Dense(2 * size, use_bias=False, name="photo_memory")
        self.photo_output = layers.Dense(size, name="photo_output")
        self.wide_norm = layers.LayerNormalization(name="wide_norm")
        self.wide = layers.Dense(feed_forward * size, activation="relu", name="wide")
        self.narrow = layers.Dense(size, name="narrow")
        self.own_dropout, self.photo_dropout, self.wide_dropout = (
            layers.Dropout(dropout, name=f"{part}_dropout") for part in ("own", "photo", "wide")
        )

    def begin(self, words: Any) -> tuple[Any, Any]:
        """The queries (captions, steps, width) of inputs, and their keys and values (captions, steps, 2 * width)."""
        normed = self.own_norm(words)
        return self.own_queries(normed), self.own_keys_values(normed)

    def call(
        self, words: Any, queries: Any, own: Any, unseen: Any, photo: Any, training: bool = False
    ) -> tuple[Any, Any]:
        """The output and the weights on the photo (captions, heads, steps, 1 + positions).

        Args:
            words: The inputs.
            queries: Their queries.
            own: The keys and values of the words so far.
            unseen: Added to the logits of the weights on them: FORBIDDEN for words that come later, otherwise 0.
            photo: The keys and values of the photo.
            training: Whether to drop.
        """
        import tensorflow as tf

        keys, values = tf.split(own, 2, axis=-1)
        context = attended(attention_weights(queries, keys, self.heads, unseen), values, self.heads)
        words = words + self.own_dropout(self.own_output(context), training=training)
        keys, values = tf.split(photo, 2, axis=-1)
        weights = attention_weights(self.photo_queries(self.photo_norm(words)), keys, self.heads)
        context = attended(weights, values, self.heads)
        words = words + self.photo_dropout(self.photo_output(context), training=training)
        added = self.narrow(self.wide(self.wide_norm(words)))
        return words + self.wide_dropout(added, training=training), weights
