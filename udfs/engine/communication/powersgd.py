"""PowerSGD: each gradient matrix is sent as two thin factors (Vogels, Karimireddy and Jaggi, 2019, algorithm 1).

What the factors leave out stays with the worker and is added to its next gradient (error feedback), so nothing is lost, it
only arrives later.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from udfs.engine.arrays import Array
from udfs.engine.communication.collectives import Collectives
from udfs.engine.gradients import Gradient, dense


class PowerSgd:
    """Compresses one worker's gradients. Its state: the errors of this worker, and the factors that all workers share.

    Args:
        shapes: The shapes of the gradients.
        rank: The rank of the factors. Matrices for which two factors are not smaller are sent whole.
        collectives: What sums over the workers.
        scale: About the size of the largest number in the gradients' sums.
        seed: Seed of the first factors.
    """

    def __init__(self, shapes: list[tuple[int, ...]], rank: int, collectives: Collectives, scale: float, seed: int):
        import tensorflow as tf

        self._collectives, self._scale = collectives, scale
        self._compressed = [len(shape) == 2 and rank * sum(shape) < shape[0] * shape[1] for shape in shapes]
        matrices = [shape for shape, compressed in zip(shapes, self._compressed, strict=True) if compressed]
        random = np.random.default_rng((seed, rank))
        dtype = collectives.precision
        self._factors = [tf.constant(random.normal(size=(shape[1], rank)), dtype) for shape in matrices]
        self._errors = [tf.zeros(shape, dtype) for shape in matrices]
        self._project, self._rotate, self._multiply = map(tf.function, (project, rotate, multiply))

    def reduce(self, sums: Any, gradients: list[Gradient]) -> tuple[Any, list[Any]]:
        tensors = [dense(gradient) for gradient in gradients]
        matrices = [each for each, compressed in zip(tensors, self._compressed, strict=True) if compressed]
        others = [each for each, compressed in zip(tensors, self._compressed, strict=True) if not compressed]
        matrices, left = self._project(matrices, self._errors, self._factors)
        (total,), reduced = self._collectives.all_reduce([sums], [*left, *others], self._scale)
        left, right = self._rotate(matrices, reduced[: len(left)])
        _, self._factors = self._collectives.all_reduce([], right, self._scale)
        products, self._errors = self._multiply(matrices, left, right, self._factors)
        of_matrices, of_others = iter(products), iter(reduced[len(left) :])
        return total, [next(of_matrices if compressed else of_others) for compressed in self._compressed]

    def state(self) -> list[Array]:
        return [value.numpy() for value in (*self._factors, *self._errors)]

    def restore(self, arrays: list[Array]) -> None:
        import tensorflow as tf

        values = [tf.constant(array) for array in arrays]
        self._factors, self._errors = values[: len(self._factors)], values[len(self._factors) :]


def project(gradients: list[Any], errors: list[Any], factors: list[Any]) -> tuple[list[Any], list[Any]]:
    """Gradients plus the errors of the last step, (m, n) each, and their products with the factors, (m, rank)."""
    corrected = [gradient + error for gradient, error in zip(gradients, errors, strict=True)]
    return corrected, [matrix @ factor for matrix, factor in zip(corrected, factors, strict=True)]


def rotate(matrices: list[Any], left: list[Any]) -> tuple[list[Any], list[Any]]:
    """Orthonormal columns that span those of `left`, (m, rank), and this worker's coordinates in them, (n, rank)."""
    import tensorflow as tf

    bases = [tf.linalg.qr(matrix).q for matrix in left]
    return bases, [tf.transpose(matrix) @ base for matrix, base in zip(matrices, bases, strict=True)]


def multiply(matrices: list[Any], left: list[Any], right: list[Any], total: list[Any]) -> tuple[list[Any], list[Any]]:
    """The approximate sums over all workers, and the errors of this worker's own product."""
    import tensorflow as tf

    products = [base @ tf.transpose(summed) for base, summed in zip(left, total, strict=True)]
    errors = [m - base @ tf.transpose(own) for m, base, own in zip(matrices, left, right, strict=True)]
    return products, errors
