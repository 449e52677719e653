import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from udfs.engine.communication.powersgd import PowerSgd

SHAPES = [(12, 9), (5,), (2, 2)]


def gradients(seed: int) -> list:
    random = np.random.default_rng(seed)
    return [tf.constant(random.normal(size=shape)) for shape in SHAPES]


class Exchange:
    """Sums over the workers, as `Collectives` does; the function gets the tensors that are sent."""

    precision = "float64"

    def __init__(self, total=lambda parts: parts):
        self._total = total

    def all_reduce(self, exact: list, values: list, scale: float) -> tuple[list, list]:
        return exact, self._total(values)


def compression(rank: int, seed: int = 0, exchange: Exchange | None = None) -> PowerSgd:
    return PowerSgd(SHAPES, rank, exchange or Exchange(), scale=1.0, seed=seed)


def reduce(compressed: PowerSgd, parts: list) -> list:
    return compressed.reduce(tf.zeros(3), parts)[1]


def test_a_matrix_of_that_rank_travels_whole():
    random = np.random.default_rng(0)
    product = tf.constant(random.normal(size=(12, 2)) @ random.normal(size=(2, 9)))
    found = reduce(compression(2), [product, *gradients(1)[1:]])
    np.testing.assert_allclose(found[0], product, atol=1e-12)


def test_vectors_and_small_matrices_travel_as_they_are():
    sent = gradients(1)
    found = reduce(compression(2), sent)
    for one, other in zip(found[1:], sent[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_left_out_comes_later():
    """The sum of what arrived and of what waits is the sum of all gradients, at any moment."""
    compressed, sent, arrived = compression(1), 0, 0
    for step in range(20):
        sent += gradients(step)[0].numpy()
        arrived += reduce(compressed, gradients(step))[0].numpy()
        *_, waiting = compressed.state()
        np.testing.assert_allclose(arrived + waiting, sent, atol=1e-10)
    assert np.abs(waiting).max() > 1e-3


def test_a_constant_gradient_arrives_on_average():
    compressed, constant = compression(1), gradients(3)
    arrived = [reduce(compressed, constant)[0].numpy() for _ in range(300)]
    np.testing.assert_allclose(np.mean(arrived, axis=0), constant[0], atol=0.15)


def test_the_sum_over_workers_is_approximated_with_each_worker_keeping_its_own_error():
    barrier, sent = threading.Barrier(2), [None, None]

    def exchange(rank: int) -> Exchange:
        def total(parts: list) -> list:
            sent[rank] = parts
            barrier.wait()
            sums = [a + b for a, b in zip(*sent, strict=True)]
            barrier.wait()
            return sums

        return Exchange(total)

    workers = [compression(2, exchange=exchange(rank)) for rank in range(2)]
    own = [gradients(seed) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        reduced = list(pool.map(reduce, workers, own))
    for left, right in zip(*reduced, strict=True):
        np.testing.assert_array_equal(left, right)
    waiting = sum(worker.state()[-1] for worker in workers)
    total = own[0][0] + own[1][0]
    np.testing.assert_allclose(reduced[0][0] + waiting, total, atol=1e-10)


def test_state_is_restored():
    one, other = compression(2, seed=0), compression(2, seed=5)
    reduce(one, gradients(1))
    other.restore(one.state())
    for a, b in zip(reduce(one, gradients(2)), reduce(other, gradients(2)), strict=True):
        np.testing.assert_array_equal(a, b)
