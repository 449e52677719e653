"""Attention with several heads, by scaled dot products (Vaswani et al., 2017, section 3.2)."""

from __future__ import annotations

from typing import Any


def attention_weights(queries: Any, keys: Any, heads: int, unseen: Any = None) -> Any:
    """The weights (captions, heads, steps, rows) of queries (captions, steps, size) on keys (captions, rows, size).

    Args:
        queries: What attends.
        keys: What is attended to.
        heads: Heads, which divide the size.
        unseen: Added to the logits: a very negative number for rows that must not be seen, otherwise 0.
    """
    import tensorflow as tf

    queries, keys = by_head(queries, heads), by_head(keys, heads)
    scale = tf.cast(queries.shape[-1], queries.dtype) ** -0.5
    logits = tf.matmul(queries * scale, keys, transpose_b=True)
    return tf.nn.softmax(logits if unseen is None else logits + unseen)


def attended(weights: Any, values: Any, heads: int) -> Any:
    """The contexts (captions, steps, size): the values (captions, rows, size), weighted, of all heads side by side."""
    import tensorflow as tf

    context = tf.transpose(tf.matmul(weights, by_head(values, heads)), (0, 2, 1, 3))
    return tf.reshape(context, (*tf.unstack(tf.shape(context)[:2]), values.shape[-1]))


def by_head(rows: Any, heads: int) -> Any:
    """(captions, rows, size) as (captions, heads, rows, size / heads)."""
    import tensorflow as tf

    shape = tf.shape(rows)
    return tf.transpose(tf.reshape(rows, (shape[0], shape[1], heads, rows.shape[-1] // heads)), (0, 2, 1, 3))
