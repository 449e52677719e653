"""Gradients that may be sparse: those of an embedding, which name the rows of the words in the batch."""

from __future__ import annotations

from typing import Any

Gradient = Any
"""A tf.Tensor, or tf.IndexedSlices: the rows of a matrix that are not zero."""


def is_dense(gradient: Gradient) -> bool:
    return not hasattr(gradient, "indices")


def dense(gradient: Gradient) -> Any:
    """A gradient as a tensor."""
    import tensorflow as tf

    if is_dense(gradient):
        return tf.convert_to_tensor(gradient)
    return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, gradient.dense_shape[0])


def compact(gradient: Gradient) -> Gradient:
    """A sparse gradient with each row once, as the sum of its occurrences; a dense one as it is."""
    import tensorflow as tf

    if is_dense(gradient):
        return gradient
    ids, places = tf.unique(tf.cast(gradient.indices, tf.int32))
    rows = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(ids))
    return tf.IndexedSlices(rows, ids, tf.cast(gradient.dense_shape, tf.int32))


def add(first: Gradient, second: Gradient) -> Gradient:
    """The sum of two gradients of the same variable, both dense or both sparse."""
    import tensorflow as tf

    if is_dense(first):
        return first + second
    rows = tf.concat([first.values, second.values], axis=0)
    ids = tf.concat([first.indices, second.indices], axis=0)
    return compact(tf.IndexedSlices(rows, ids, first.dense_shape))
