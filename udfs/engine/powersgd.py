"""A gradient travels as thin matrices, of a product of two that approximates it.

With both sides at every step it is PowerSGD (Vogels, Karimireddy and Jaggi, 2019, "PowerSGD: practical low-rank gradient
compression for distributed optimization", algorithm 1). With one side it is the left one and the right one in turn (Zhang et
al., 2023, "Evaluation and optimization of gradient compression for distributed deep learning", ACP-SGD): the sum of the last
step's side spans the space into which this step's gradient is projected, which takes one message where PowerSGD takes two.

What the product leaves out stays with the worker and is added to its next gradient (error feedback), so nothing is lost,
only late.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Exchange = Callable[[list, list], tuple[list, list]]


class LowRank:
    """The compression of one worker's gradients to a rank. Its state: each worker's own errors, and factors all share.

    sides: the thin matrices of each product that travel at a step, 2 or 1.
    """

    def __init__(self, shapes: list[tuple[int, ...]], rank: int, precision: str, seed: int, sides: int = 2):
        import tensorflow as tf

        random = np.random.default_rng((seed, rank))
        self._thin = [len(shape) == 2 and rank * sum(shape) < shape[0] * shape[1] for shape in shapes]
        thin = [shape for shape, wanted in zip(shapes, self._thin, strict=True) if wanted]
        self._factors = [tf.constant(random.normal(size=(shape[1], rank)), precision) for shape in thin]
        self._errors = [tf.zeros(shape, precision) for shape in thin]
        self._through = self._both_sides if sides == 2 else self._one_side
        self._left_travels = True
        self._project, self._rotate, self._multiply = map(tf.function, (project, rotate, multiply))
        self._project_onto, self._product = map(tf.function, (project_onto, product))

    def total(self, exact: list, gradients: list, exchange: Exchange) -> tuple[list, list]:
        """The sums over all workers of the tensors in `exact`, and about those of the gradients; the same on each worker.

        exchange: sums two lists of tensors over the workers, the first exactly. Matrices for which two thin ones would be
        no smaller travel as they are.
        """
        matrices = [gradient for gradient, thin in zip(gradients, self._thin, strict=True) if thin]
        others = [gradient for gradient, thin in zip(gradients, self._thin, strict=True) if not thin]
        exact, products, others = self._through(exact, matrices, others, exchange)
        products, others = iter(products), iter(others)
        return exact, [next(products if thin else others) for thin in self._thin]

    def _both_sides(self, exact: list, matrices: list, others: list, exchange: Exchange) -> tuple[list, list, list]:
        matrices, left = self._project(matrices, self._errors, self._factors)
        exact, sums = exchange(exact, [*left, *others])
        left, right = self._rotate(matrices, sums[: len(left)])
        _, self._factors = exchange([], right)
        products, self._errors = self._multiply(matrices, left, right, self._factors)
        return exact, products, sums[len(left) :]

    def _one_side(self, exact: list, matrices: list, others: list, exchange: Exchange) -> tuple[list, list, list]:
        left = self._left_travels
        bases, sides, self._errors = self._project_onto(matrices, self._errors, self._factors, left)
        exact, sums = exchange(exact, [*sides, *others])
        self._factors, self._left_travels = sums[: len(sides)], not left
        return exact, self._product(self._factors, bases, left), sums[len(sides) :]

    def state(self) -> list[np.ndarray]:
        return [np.array(self._left_travels), *(value.numpy() for value in (*self._factors, *self._errors))]

    def restore(self, arrays: list[np.ndarray]) -> None:
        import tensorflow as tf

        self._left_travels, values = bool(arrays[0]), [tf.constant(array) for array in arrays[1:]]
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


def project_onto(gradients: list, errors: list, factors: list, left: bool) -> tuple[list, list, list]:
    """Orthonormal columns that span those of the factors; this worker's coordinates in them; and what these leave out.

    Where the left side travels, factors are (n, rank) and coordinates (m, rank); where the right one does, the other way round.
    """
    import tensorflow as tf

    whole = [gradient + error for gradient, error in zip(gradients, errors, strict=True)]
    bases = [tf.linalg.qr(factor).q for factor in factors]
    sides = [tf.matmul(matrix, base, transpose_a=not left) for matrix, base in zip(whole, bases, strict=True)]
    errors = [matrix - part for matrix, part in zip(whole, product(sides, bases, left), strict=True)]
    return bases, sides, errors


def product(sides: list, bases: list, left: bool) -> list:
    """The matrices (m, n) that the two sides stand for."""
    import tensorflow as tf

    pairs = zip(sides, bases, strict=True)
    return [tf.matmul(*(pair if left else reversed(pair)), transpose_b=True) for pair in pairs]
