"""What travels between the workers: sums over all of them, in full, in 16 bits, or of the few rows that are not zero."""

from __future__ import annotations

import math

import numpy as np

from udfs.engine.fixed_point import digit_bits, read, spell


class Exchange:
    """The collective operations of a gang. Every member must make the same calls in the same order.

    wire: `full` sends numbers as they are; `bfloat16` and `float16` round them before they leave, and the ring adds
    what it passes on in that type. float16 has 11 bits of precision and ends at 65504, bfloat16 has 8 and float32's range.
    """

    def __init__(self, strategy, workers: int, precision: str, wire: str):
        import tensorflow as tf

        self.workers = workers
        self._wire = tf.dtypes.as_dtype(precision if wire == "full" else wire)
        self._sum = lambda values: strategy.run(_all_reduce, (values,))
        self._total = tf.function(self._sum)
        self._wired_total = tf.function(self._rounded_total)  # traced anew for each scale, of which a run has one
        # A gather takes no bfloat16, and looks at no number: float16 carries the same bits.
        self._carried = tf.float16 if self._wire == tf.bfloat16 else self._wire
        signature = [tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None], self._carried)]
        self._gather = tf.function(lambda ids, rows: strategy.run(_all_gather, (ids, rows)), signature)

    def total(self, values: list[np.ndarray]) -> list[np.ndarray]:
        """The sums of arrays over all workers, on every worker."""
        return [value.numpy() for value in self._total(values)]

    def by_rank(self, row: np.ndarray, rank: int) -> np.ndarray:
        """Every worker's row of numbers, as a float64 matrix on every worker: a sum in which each fills its own row."""
        rows = np.zeros((self.workers, len(row)))
        rows[rank] = row
        return self.total([rows])[0]

    def wired_total(self, exact: list, values: list, scale: float) -> tuple[list, list]:
        """The sums of tensors over all workers: `values` in the wire's type; vectors of numbers >= 0 in `exact` as they are, or
        on a wire of 16 bits as digits, to 2^-12: a second message would cost more than its few bytes.

        scale: about the size of the largest number in `values`.
        """
        return self._wired_total(exact, values, scale)

    def _rounded_total(self, exact: list, values: list, scale: float) -> tuple[list, list]:
        spelled = self._wire.size == 2 and digit_bits(self.workers)
        sent = [spell(value, self.workers, self._wire) for value in exact] if spelled else exact
        sums = self._sum([*sent, *(self._sent(value, scale) for value in values)])
        exact_sums, sums = sums[: len(exact)], sums[len(exact) :]
        if spelled:
            exact_sums = [
                read(total, self.workers, value.dtype) for total, value in zip(exact_sums, exact, strict=True)
            ]
        return exact_sums, [self._received(total, scale, v.dtype) for total, v in zip(sums, values, strict=True)]

    def rows_are_smaller(self, rows: int, height: int, width: int) -> bool:
        """Whether a worker sends less by gathering so many rows from each than by all-reducing the matrix on the ring."""
        size = self._wire.size
        gathered = (self.workers - 1) * rows * (width * size + 4)
        return gathered < 2 * (self.workers - 1) / self.workers * height * width * size

    def wired_rows(self, ids, rows, height: int, scale: float):
        """The sum over workers of matrices of which each holds only some rows, as one dense matrix.

        ids: int32 (n,), rows: (n, width); a worker may name an id more than once. The sum runs in order of rank.
        Returns: (height, width).
        """
        import tensorflow as tf

        kind = rows.dtype
        ids, rows = self._gather(ids, tf.bitcast(self._sent(rows, scale), self._carried))
        rows = self._received(tf.bitcast(rows, self._wire), scale, kind)
        return tf.math.unsorted_segment_sum(rows, ids, height)

    def _sent(self, value, scale: float):
        import tensorflow as tf

        value = tf.convert_to_tensor(value)
        if value.dtype == self._wire:
            return value
        return tf.cast(value * tf.cast(1 / _power_of_two(scale), value.dtype), self._wire)

    def _received(self, value, scale: float, kind):
        import tensorflow as tf

        if value.dtype == kind:
            return value
        return tf.cast(value, kind) * tf.cast(_power_of_two(scale), kind)


def _power_of_two(scale: float) -> float:
    """One at least as large as scale; multiplying by it rounds nothing."""
    return 2.0 ** math.ceil(math.log2(scale))


def _all_reduce(values: list) -> list:
    import tensorflow as tf

    placed = [tf.identity(value) for value in values]  # all_reduce refuses a tensor without a device
    sums = {}
    for kind in dict.fromkeys(value.dtype for value in placed):  # and packs only tensors of one type
        of_kind = [number for number, value in enumerate(placed) if value.dtype == kind]
        reduced = tf.distribute.get_replica_context().all_reduce("SUM", [placed[number] for number in of_kind])
        sums.update(zip(of_kind, reduced, strict=True))
    return [sums[number] for number in range(len(placed))]


def _all_gather(ids, rows):
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context.all_gather(tf.identity(ids), axis=0), context.all_gather(tf.identity(rows), axis=0)
