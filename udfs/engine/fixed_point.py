"""Numbers as digits so small that 16-bit floats add them without rounding: counts and losses in one message with gradients.

A bfloat16 holds every integer up to 256. With digits of b bits, the sum over N workers stays below that if N (2^b - 1) does.
"""

from __future__ import annotations

FRACTION_BITS, BITS = 12, 48
LARGEST = 256


def digit_bits(workers: int) -> int:
    """The bits of a digit that so many workers can add up; 0 where they are too many."""
    return (LARGEST // workers + 1).bit_length() - 1


def spell(values, workers: int, kind):
    """Numbers from 0 to 2^36, rounded to 2^-12, as digits of a 16-bit type; what is not finite stays so.

    values: floats (n,). Returns: (n, digits), the lowest digit first.
    """
    import tensorflow as tf

    bits = digit_bits(workers)
    whole = tf.cast(tf.round(tf.cast(values, "float64") * 2.0**FRACTION_BITS), "int64")
    shifted = tf.bitwise.right_shift(whole[:, None], tf.range(0, BITS, bits, dtype="int64")[None, :])
    digits = tf.bitwise.bitwise_and(shifted, tf.constant(2**bits - 1, "int64"))
    poison = tf.cast(values - values, kind)  # NaN where a value is not finite, which no integer can say
    return tf.cast(digits, kind) + poison[:, None]


def read(digits, workers: int, kind):
    """The numbers that sums of spelled digits stand for, (n,), in a float type."""
    import tensorflow as tf

    weights = 2.0 ** (tf.range(0, BITS, digit_bits(workers), dtype="float64") - FRACTION_BITS)
    return tf.cast(tf.linalg.matvec(tf.cast(digits, "float64"), weights), kind)
