"""Draws captions from a captioner's distribution, with random numbers that belong to the photos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from udfs.captioner.beam_search import NEVER_GENERATED
from udfs.captioner.text import END, PADDING, START

if TYPE_CHECKING:
    from udfs.captioner.topologies.base import Captioner, Tensors


def sample_captions(captioner: Captioner, encoded: Tensors, seeds: Any, samples: int, steps: int, heat: float) -> Any:
    """Draws captions word by word, by inverting the cumulative distribution.

    A photo's captions depend on its seed and its feature alone, not on the other photos of the batch.

    Args:
        captioner: The model, which is used without dropout.
        encoded: What it keeps of the photos.
        seeds: int32 (photos, 2).
        samples: Captions of each photo.
        steps: The largest number of tokens in a caption.
        heat: The temperature, by which logits are divided.

    Returns:
        Token ids int32 (photos * samples, steps): words, the end token, and padding.
    """
    import tensorflow as tf

    dtype = captioner.variable_dtype
    draws = tf.map_fn(
        lambda seed: tf.random.stateless_uniform((samples, steps), seed, dtype=dtype), seeds, fn_output_signature=dtype
    )
    draws = tf.reshape(draws, (-1, steps))
    encoded = tuple(tf.repeat(part, samples, axis=0) for part in encoded)
    rows, forbidden = tf.shape(draws)[0], never_sampled(captioner)
    token, state = tf.fill([rows], START), captioner.start(encoded)
    done, tokens = tf.zeros([rows], tf.bool), tf.TensorArray(tf.int32, steps, element_shape=[None])
    for step in tf.range(steps):
        hidden, state = captioner.step(token, state, encoded)
        logits = tf.cast(captioner.logits(hidden), dtype) / heat + forbidden
        cumulative = tf.cumsum(tf.nn.softmax(logits), axis=-1)
        drawn = draws[:, step, None] * cumulative[:, -1:]
        token = tf.reduce_sum(tf.cast(cumulative <= drawn, tf.int32), axis=-1)
        token = tf.where(done, PADDING, tf.minimum(token, logits.shape[-1] - 1))
        tokens = tokens.write(step, token)
        done |= token == END
    return tf.transpose(tokens.stack())


def never_sampled(captioner: Captioner) -> Any:
    """What is added to the logits, (vocabulary_size,): a very negative number for tokens that are never drawn."""
    forbidden = np.zeros(captioner.shape.vocabulary_size, captioner.variable_dtype)
    forbidden[list(NEVER_GENERATED)] = -1e9
    return forbidden
