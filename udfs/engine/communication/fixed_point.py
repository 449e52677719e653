"""Numbers as fixed-point digits so small that 16-bit floats add them without rounding.

Losses and counts are sent in one message with gradients this way. A bfloat16 holds every integer up to 256. With digits of b
bits, the sum over N workers stays below that if N (2^b - 1) does.
"""

from __future__ import annotations

from typing import Any

FRACTION_BITS, BITS = 12, 48
LARGEST = 256


def digit_bits(workers: int) -> int:
    """The bits of a digit that so many workers can add; 0 if there are too many workers."""
    return (LARGEST // workers + 1).bit_length() - 1


def encode(values: Any, workers: int, dtype: Any) -> Any:
    """Numbers from 0 to 2^36 as digits of a 16-bit dtype, rounded to 2^-12. A number that is not finite gives NaN.

    Args:
        values: Floats (n,).

    Returns:
        (n, digits), the lowest digit first.
    """
    import tensorflow as tf

    bits = digit_bits(workers)
    integers = tf.cast(tf.round(tf.cast(values, "float64") * 2.0**FRACTION_BITS), "int64")
    shifted = tf.bitwise.right_shift(integers[:, None], tf.range(0, BITS, bits, dtype="int64")[None, :])
    digits = tf.bitwise.bitwise_and(shifted, tf.constant(2**bits - 1, "int64"))
    not_finite = tf.cast(values - values, dtype)  # NaN if a value is not finite, which no integer can express; else 0
    return tf.cast(digits, dtype) + not_finite[:, None]


def decode(digits: Any, workers: int, dtype: Any) -> Any:
    """The numbers that sums of encoded digits stand for, (n,), in a float dtype."""
    import tensorflow as tf

    weights = 2.0 ** (tf.range(0, BITS, digit_bits(workers), dtype="float64") - FRACTION_BITS)
    return tf.cast(tf.linalg.matvec(tf.cast(digits, "float64"), weights), dtype)
