"""PowerSGD: a gradient travels as the product of two thin matrices (Vogels, Karimireddy and Jaggi, 2019, algorithm 1).

What the product leaves out stays with the worker and is added to its next gradient (error feedback), so nothing is lost,
only late.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class LowRank:
    """The compression of one worker's gradients to a rank. Its state: each worker's own errors, and factors all share."""

    def __init__(self, shapes: list[tuple[int, ...]], rank: int, precision: str, seed: int):
        import tensorflow as tf

        random = np.random.default_rng((seed, rank))
        self._thin = [len(shape) == 2 and rank * sum(shape) < shape[0] * shape[1] for shape in shapes]
        thin = [shape for shape, wanted in zip(shapes, self._thin, strict=True) if wanted]
        self._factors = [tf.constant(random.normal(size=(shape[1], rank)), precision) for shape in thin]
        self._errors = [tf.zeros(shape, precision) for shape in thin]
        self._project, self._rotate, self._multiply = map(tf.function, (project, rotate, multiply))

    def total(
        self, exact: list, gradients: list, exchange: Callable[[list, list], tuple[list, list]]
    ) -> tuple[list, list]:
        """The sums over all workers of the tensors in `exact`, and about those of the gradients; the same on each worker.

        exchange: sums two lists of tensors over the workers, the first exactly. Matrices for which two thin ones would be
        no smaller travel as they are.
        """
        matrices = [gradient for gradient, thin in zip(gradients, self._thin, strict=True) if thin]
        others = [gradient for gradient, thin in zip(gradients, self._thin, strict=True) if not thin]
        matrices, left = self._project(matrices, self._errors, self._factors)
        exact, sums = exchange(exact, [*left, *others])
        left, right = self._rotate(matrices, sums[: len(left)])
        _, self._factors = exchange([], right)
        products, self._errors = self._multiply(matrices, left, right, self._factors)
        products, others = iter(products), iter(sums[len(left) :])
        return exact, [next(products if thin else others) for thin in self._thin]

    def state(self) -> list[np.ndarray]:
        return [value.numpy() for value in (*self._factors, *self._errors)]

    def restore(self, arrays: list[np.ndarray]) -> None:
        import tensorflow as tf

        values = [tf.constant(array) for array in arrays]
        self._factors, self._errors = values[: len(self._factors)], values[len(self._factors) :]


def project(gradients: list, errors: list, factors: list) -> tuple[list, list]:
    """Gradients with what was left out of the last ones, (m, n) each; and their products with the factors, (m, rank)."""
    whole = [gradient + error for gradient, error in zip(gradients, errors, strict=True)]
    return whole, [matrix @ factor for matrix, factor in zip(whole, factors, strict=True)]


def rotate(matrices: list, left: list) -> tuple[list, list]:
    """Orthonormal columns that span those of `left`, (m, rank); and this worker's coordinates in them, (n, rank)."""
    import tensorflow as tf

    left = [tf.linalg.qr(matrix).q for matrix in left]
    return left, [tf.transpose(matrix) @ base for matrix, base in zip(matrices, left, strict=True)]


def multiply(matrices: list, left: list, own: list, summed: list) -> tuple[list, list]:
    """The approximate sums over all workers, and what this worker's own product leaves out."""
    import tensorflow as tf

    products = [base @ tf.transpose(right) for base, right in zip(left, summed, strict=True)]
    errors = [m - base @ tf.transpose(right) for m, base, right in zip(matrices, left, own, strict=True)]
    return products, errors
