"""The collective operations of a gang: sums over all workers, in full precision, in 16 bits, or of a few rows only."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from udfs.engine.arrays import Array
from udfs.engine.communication.fixed_point import decode, digit_bits, encode


class Collectives:
    """Sums over the workers. Every member must make the same calls in the same order.

    Args:
        strategy: The gang's tf.distribute strategy.
        workers: The number of workers.
        precision: The model's dtype, float32 or float64.
        dtype: The dtype in which large tensors are sent. `full` sends them as they are; `bfloat16` and `float16` round them
            before they are sent, and the ring adds in that dtype. float16 has 11 bits of precision and ends at 65504;
            bfloat16 has 8 bits and float32's range.
    """

    def __init__(self, strategy: Any, workers: int, precision: str, dtype: str):
        import tensorflow as tf

        self.workers, self.precision = workers, precision
        self._dtype = tf.dtypes.as_dtype(precision if dtype == "full" else dtype)
        self._strategy = strategy
        self._total = tf.function(self._sum)
        # Traced again for each scale, of which a run has one or two.
        self._reduced: Callable[..., Any] = tf.function(self._rounded_total)
        # all_gather does not accept bfloat16, and does not interpret numbers: float16 carries the same bits.
        self._carrier = tf.float16 if self._dtype == tf.bfloat16 else self._dtype
        signature = [tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None], self._carrier)]
        self._gather = tf.function(lambda ids, rows: strategy.run(_all_gather, (ids, rows)), signature)

    def total(self, values: list[Array]) -> list[Array]:
        """The exact sums of arrays over all workers, on every worker."""
        return [value.numpy() for value in self._total(values)]

    def by_rank(self, row: Array, rank: int) -> Array:
        """Every worker's row of numbers as a float64 matrix (workers, numbers), on every worker."""
        rows = np.zeros((self.workers, len(row)))
        rows[rank] = row
        return self.total([rows])[0]

    def all_reduce(self, exact: list[Any], values: list[Any], scale: float) -> tuple[list[Any], list[Any]]:
        """The sums of tensors over all workers, in one message.

        Args:
            exact: Vectors of numbers >= 0. They are sent as they are or, with a dtype of 16 bits, as fixed-point digits with a
                resolution of 2^-12, because a second message would take longer than these few bytes.
            values: Tensors that are sent in the gang's dtype.
            scale: About the size of the largest number in `values`.

        Returns:
            The sums of `exact` and of `values`, in their own dtypes.
        """
        exact_sums, sums = self._reduced(exact, values, scale)
        return exact_sums, sums

    def _sum(self, values: list[Any]) -> list[Any]:
        sums: list[Any] = self._strategy.run(_all_reduce, (values,))
        return sums

    def _rounded_total(self, exact: list[Any], values: list[Any], scale: float) -> tuple[list[Any], list[Any]]:
        as_digits = self._dtype.size == 2 and digit_bits(self.workers)
        exact_parts = [encode(value, self.workers, self._dtype) for value in exact] if as_digits else exact
        sums = self._sum([*exact_parts, *(self._rounded(value, scale) for value in values)])
        exact_sums, sums = sums[: len(exact)], sums[len(exact) :]
        if as_digits:
            pairs = zip(exact_sums, exact, strict=True)
            exact_sums = [decode(total, self.workers, value.dtype) for total, value in pairs]
        return exact_sums, [self._restored(total, scale, v.dtype) for total, v in zip(sums, values, strict=True)]

    def rows_are_smaller(self, rows: int, height: int, width: int) -> bool:
        """Whether a worker sends fewer bytes by gathering so many rows of a matrix than by all-reducing the matrix."""
        size = self._dtype.size
        gathered = (self.workers - 1) * rows * (width * size + 4)
        return bool(gathered < 2 * (self.workers - 1) / self.workers * height * width * size)

    def gather_rows(self, ids: Any, rows: Any, height: int, scale: float) -> Any:
        """The sum over all workers of matrices of which each worker has only some rows. It is added in order of rank.

        Args:
            ids: int32 (n,), the numbers of this worker's rows; a number may occur more than once.
            rows: (n, width).
            height: The rows of the whole matrix.
            scale: About the size of the largest number in `rows`.

        Returns:
            A dense matrix (height, width).
        """
        import tensorflow as tf

        dtype = rows.dtype
        ids, rows = self._gather(ids, tf.bitcast(self._rounded(rows, scale), self._carrier))
        rows = self._restored(tf.bitcast(rows, self._dtype), scale, dtype)
        return tf.math.unsorted_segment_sum(rows, ids, height)

    def _rounded(self, value: Any, scale: float) -> Any:
        import tensorflow as tf

        value = tf.convert_to_tensor(value)
        if value.dtype == self._dtype:
            return value
        return tf.cast(value * tf.cast(1 / _power_of_two(scale), value.dtype), self._dtype)

    def _restored(self, value: Any, scale: float, dtype: Any) -> Any:
        import tensorflow as tf

        if value.dtype == dtype:
            return value
        return tf.cast(value, dtype) * tf.cast(_power_of_two(scale), dtype)


def _power_of_two(scale: float) -> float:
    """The smallest power of two that is at least `scale`; multiplying by it does not round."""
    return 2.0 ** math.ceil(math.log2(scale))


def _all_reduce(values: list[Any]) -> list[Any]:
    import tensorflow as tf

    placed = [tf.identity(value) for value in values]  # all_reduce rejects a tensor without a device
    sums: dict[int, Any] = {}
    for dtype in dict.fromkeys(value.dtype for value in placed):  # and it packs only tensors of one dtype
        numbers = [number for number, value in enumerate(placed) if value.dtype == dtype]
        reduced = tf.distribute.get_replica_context().all_reduce("SUM", [placed[number] for number in numbers])
        sums.update(zip(numbers, reduced, strict=True))
    return [sums[number] for number in range(len(placed))]


def _all_gather(ids: Any, rows: Any) -> tuple[Any, Any]:
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context.all_gather(tf.identity(ids), axis=0), context.all_gather(tf.identity(rows), axis=0)
