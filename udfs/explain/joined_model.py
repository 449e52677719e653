"""An extractor and a captioner as one differentiable function, from the pixels of a photo to the words of its caption."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from udfs.captioner.text import START
from udfs.errors import InputError

if TYPE_CHECKING:
    from udfs.captioner.topologies.base import Captioner
    from udfs.keras_setup import keras


class JoinedModel:
    """Compiled functions from photos and captions to scores and gradients.

    They read the weights of both models at each call. The captioner is used only through its inputs and
    outputs and `word_maps`, the extractor through its inputs and outputs and its last layer with positions.

    The functions take `pixels`, float32 (photos, height, width, 3) from 0 to 255; `caption`, int32 (words,), whose words
    are each predicted from the words before them; and `feature`, float32 (photos, *feature shape).

    Args:
        network: The extractor, from preprocessed pixels to features.
        preprocess: From pixels to the extractor's input.
        captioner: The captioner.

    Attributes:
        size: (height, width) of the photos, in pixels.
        features: pixels -> feature.
        logits: (pixels, caption) -> the logits of the caption's words, (photos, words).
        log_probabilities: (pixels, caption) -> the log-probabilities of the caption's words, (photos, words).
        pixel_gradients: (pixels, caption) -> the gradients of each word's logit with respect to the pixels, summed over the
            photos: (words, height, width, 3).
        maps_and_gradients: (pixels, caption) -> the feature maps of the last layer with positions, (photos, rows, columns,
            channels), and the gradients of each word's logit with respect to them, (words, photos, rows, columns, channels).
        word_maps: (pixels, caption) -> where the captioner itself attends for the caption's words, (photos, words, rows,
            columns); None if its topology does not attend.
        next_word_log_probabilities: (tokens int32 (captions, steps), feature of each caption) -> the log-probabilities of
            the next word after each step, (captions, steps, vocabulary size).
    """

    def __init__(self, network: keras.Model, preprocess: Callable, captioner: Captioner):
        import tensorflow as tf

        from udfs.keras_setup import keras

        self.network, self.preprocess, self.captioner = network, preprocess, captioner
        self.size = tuple(network.input_shape[1:3])
        feature_shape = network.output_shape[1:]
        self._maps_and_output = keras.Model(network.input, [last_spatial_layer(network).output, network.output])
        pixels, words = tf.TensorSpec((None, *self.size, 3), tf.float32), tf.TensorSpec((None,), tf.int32)
        tokens, feature = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, *feature_shape))

        self.features = tf.function(lambda photos: self._extract(photos)[1], input_signature=[pixels])
        self.logits = tf.function(self._logits, input_signature=[pixels, words])
        self.log_probabilities = tf.function(self._log_probabilities, input_signature=[pixels, words])
        self.pixel_gradients = tf.function(self._pixel_gradients, input_signature=[pixels, words])
        self.maps_and_gradients = tf.function(self._maps_and_gradients, input_signature=[pixels, words])
        self.word_maps = tf.function(self._word_maps, input_signature=[pixels, words])
        self.next_word_log_probabilities = tf.function(
            self._next_word_log_probabilities, input_signature=[tokens, feature]
        )

    def _extract(self, photos):
        """(feature maps of the last layer with positions, features)."""
        import tensorflow as tf

        maps, output = self._maps_and_output(self.preprocess(photos), training=False)
        return maps, tf.cast(output, tf.float32)

    def _predict(self, feature, caption):
        """The logits of every vocabulary word at each word of the caption, (photos, words, vocabulary size)."""
        import tensorflow as tf

        return tf.cast(self.captioner([_tokens_read(feature, caption), feature], training=False), tf.float32)

    def _logits(self, photos, caption):
        return _of_words(self._predict(self._extract(photos)[1], caption), caption)

    def _log_probabilities(self, photos, caption):
        import tensorflow as tf

        return _of_words(tf.nn.log_softmax(self._predict(self._extract(photos)[1], caption)), caption)

    def _pixel_gradients(self, photos, caption):
        import tensorflow as tf

        with tf.GradientTape(persistent=True) as tape:
            tape.watch(photos)
            summed = tf.reduce_sum(self._logits(photos, caption), axis=0)
        return tf.reduce_sum(_jacobian(tape, summed, photos), axis=1)

    def _maps_and_gradients(self, photos, caption):
        import tensorflow as tf

        with tf.GradientTape(persistent=True) as tape:
            tape.watch(photos)
            maps, feature = self._extract(photos)
            summed = tf.reduce_sum(_of_words(self._predict(feature, caption), caption), axis=0)
        return tf.cast(maps, tf.float32), _jacobian(tape, summed, maps)

    def _word_maps(self, photos, caption):
        import tensorflow as tf

        feature = self._extract(photos)[1]
        maps = self.captioner.word_maps(_tokens_read(feature, caption), feature)
        return None if maps is None else tf.cast(maps, tf.float32)

    def _next_word_log_probabilities(self, tokens, feature):
        import tensorflow as tf

        return tf.nn.log_softmax(tf.cast(self.captioner([tokens, feature], training=False), tf.float32))


def last_spatial_layer(network: keras.Model) -> keras.Layer:
    """Returns the layer that Grad-CAM explains: the last layer that has positions and does not pool.

    That is VGG16's `block5_conv3`, MobileNetV2's `out_relu` or ResNet50's `conv5_block3_out`: the last convolution with its
    normalisation, activation and shortcut.

    Raises:
        InputError: The network has no such layer.
    """
    for layer in reversed(network.layers[1:]):
        shape = getattr(layer.output, "shape", ())
        if len(shape) == 4 and "Pooling" not in type(layer).__name__ and (shape[1] or 0) * (shape[2] or 0) > 1:
            return layer
    raise InputError(
        f"extractor.name: {network.name} has no layer with positions, expected a convolutional network; "
        "explain a run that was trained on features of one"
    )


def _tokens_read(feature, caption):
    """The tokens before each of the caption's words, for each photo: (photos, words)."""
    import tensorflow as tf

    return tf.repeat(tf.concat([[START], caption[:-1]], axis=0)[None], tf.shape(feature)[0], axis=0)


def _of_words(scores, caption):
    """The scores of the caption's words, (photos, words), from those of all words, (photos, words, vocabulary size)."""
    import tensorflow as tf

    words = tf.repeat(caption[None, :, None], tf.shape(scores)[0], axis=0)
    return tf.gather(scores, words, batch_dims=2)[:, :, 0]


def _jacobian(tape, scores, source):
    """The gradients of each score with respect to `source`, (scores, *source shape)."""
    import tensorflow as tf

    # A loop in the graph: the scores share the forward pass, and one backward pass is in memory at a time.
    gradients = tape.jacobian(scores, source, parallel_iterations=1, experimental_use_pfor=False)
    return tf.cast(gradients, tf.float32)
