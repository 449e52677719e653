"""From the pixels of a photo to the words of its caption: extractor and captioner as one function with gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from udfs.captioner.text import START
from udfs.errors import InputError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Sight:
    """An extractor and a captioner, joined to compiled functions that read the networks' weights at each call.

    pixels: float32 (photos, height, width, 3) from 0 to 255, of the `size` (height, width) that the extractor takes.
    caption: int32 (words,); each word is looked at after the words before it. feature: float32 (photos, feature size).

    features: pixels -> feature.
    logits, log_probabilities: (pixels, caption) -> of the caption's words, (photos, words).
    pixel_gradients: (pixels, caption) -> gradients of each word's logit, summed over the photos, (words, height, width, 3).
    maps_and_gradients: (pixels, caption) -> what the last layer with positions shows, (photos, rows, columns, channels), and
        the gradients of each word's logit at that, (words, photos, rows, columns, channels).
    speak: (tokens int32 (captions, steps), feature) -> log-probabilities of each next word, (captions, steps, vocabulary).
    """

    network: keras.Model
    captioner: keras.Model
    size: tuple[int, int]
    features: Callable
    logits: Callable
    log_probabilities: Callable
    pixel_gradients: Callable
    maps_and_gradients: Callable
    speak: Callable


def join(network: keras.Model, preprocess: Callable, captioner: keras.Model) -> Sight:
    """Joins an extractor (preprocessed pixels to feature) and a captioner ((tokens, photo) to logits).

    Both are used through their inputs and outputs alone, but for the extractor's last layer that has positions.
    """
    import keras
    import tensorflow as tf

    size, feature_size = tuple(network.input_shape[1:3]), captioner.inputs[1].shape[1]
    parts = keras.Model(network.input, [last_maps(network).output, network.output])
    pixels, words = tf.TensorSpec((None, *size, 3), tf.float32), tf.TensorSpec((None,), tf.int32)

    def look(photos):
        maps, feature = parts(preprocess(photos), training=False)
        return maps, tf.reshape(tf.cast(feature, tf.float32), (-1, feature_size))

    def say(feature, caption):
        tokens = tf.repeat(tf.concat([[START], caption[:-1]], axis=0)[None], tf.shape(feature)[0], axis=0)
        return tf.cast(captioner([tokens, feature], training=False), tf.float32)

    def own(scores, caption):
        wanted = tf.repeat(caption[None, :, None], tf.shape(scores)[0], axis=0)
        return tf.gather(scores, wanted, batch_dims=2)[:, :, 0]

    def gradients(tape, summed, place):
        # A loop in the graph: the words share the forward pass, and one word's backward pass is in memory at a time.
        found = tape.jacobian(summed, place, parallel_iterations=1, experimental_use_pfor=False)
        return tf.cast(found, tf.float32)

    def logits(photos, caption):
        return own(say(look(photos)[1], caption), caption)

    def log_probabilities(photos, caption):
        return own(tf.nn.log_softmax(say(look(photos)[1], caption)), caption)

    def pixel_gradients(photos, caption):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(photos)
            summed = tf.reduce_sum(logits(photos, caption), axis=0)
        return tf.reduce_sum(gradients(tape, summed, photos), axis=1)

    def maps_and_gradients(photos, caption):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(photos)
            maps, feature = look(photos)
            summed = tf.reduce_sum(own(say(feature, caption), caption), axis=0)
        return tf.cast(maps, tf.float32), gradients(tape, summed, maps)

    def speak(tokens, feature):
        return tf.nn.log_softmax(tf.cast(captioner([tokens, feature], training=False), tf.float32))

    def compiled(function):
        return tf.function(function, input_signature=[pixels, words])

    return Sight(
        network, captioner, size,
        tf.function(lambda photos: look(photos)[1], input_signature=[pixels]),
        compiled(logits), compiled(log_probabilities), compiled(pixel_gradients), compiled(maps_and_gradients),
        tf.function(speak, input_signature=[tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, feature_size))]),
    )  # fmt: skip


def last_maps(network: keras.Model) -> keras.Layer:
    """The layer that Grad-CAM looks at: the last with positions that does not pool.

    That is VGG16's `block5_conv3`, MobileNetV2's `out_relu` or ResNet50's `conv5_block3_out`: the last convolution with its
    normalisation, activation and shortcut. Raises InputError where there is none.
    """
    for layer in reversed(network.layers[1:]):
        shape = getattr(layer.output, "shape", ())
        if len(shape) == 4 and "Pooling" not in type(layer).__name__ and (shape[1] or 0) * (shape[2] or 0) > 1:
            return layer
    raise InputError(
        f"extractor.name: {network.name} has no layer with positions to look at, expected a convolutional network; "
        "explain a run that was trained on features of one"
    )
