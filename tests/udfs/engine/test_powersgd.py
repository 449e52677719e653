import numpy as np
import pytest
import tensorflow as tf

from udfs.engine.powersgd import LowRank

SHAPES = [(12, 9), (5,), (2, 2)]
SIDES = pytest.mark.parametrize("sides", [1, 2])


def gradients(seed: int) -> list:
    random = np.random.default_rng(seed)
    return [tf.constant(random.normal(size=shape)) for shape in SHAPES]


def alone(exact: list, parts: list) -> tuple[list, list]:
    return exact, parts


def test_a_matrix_of_that_rank_travels_whole():
    random = np.random.default_rng(0)
    product = tf.constant(random.normal(size=(12, 2)) @ random.normal(size=(2, 9)))
    found = LowRank(SHAPES, 2, "float64", seed=0).total([], [product, *gradients(1)[1:]], alone)[1]
    np.testing.assert_allclose(found[0], product, atol=1e-12)


def test_a_matrix_of_that_rank_travels_whole_by_the_second_step_of_one_side():
    """The first finds the space of its columns, and leaves out what lies outside that of its rows."""
    random = np.random.default_rng(0)
    product = random.normal(size=(12, 2)) @ random.normal(size=(2, 9))
    compression = LowRank(SHAPES, 2, "float64", seed=0, sides=1)
    steps = [compression.total([], [tf.constant(product), *gradients(1)[1:]], alone)[1][0].numpy() for _ in range(2)]
    assert np.abs(steps[0] - product).max() > 0.1
    np.testing.assert_allclose(sum(steps), 2 * product, atol=1e-12)


def test_one_side_travels_at_a_time():
    sent = []
    compression = LowRank(SHAPES, 2, "float64", seed=0, sides=1)
    for step in range(4):
        compression.total([], gradients(step), lambda exact, parts: (sent.append(parts[0].shape), (exact, parts))[1])
    assert sent == [(12, 2), (9, 2), (12, 2), (9, 2)]


@SIDES
def test_vectors_and_small_matrices_travel_as_they_are(sides):
    sent = gradients(1)
    found = LowRank(SHAPES, 2, "float64", seed=0, sides=sides).total([], sent, alone)[1]
    for one, other in zip(found[1:], sent[1:], strict=True):
        np.testing.assert_array_equal(one, other)


@SIDES
def test_what_is_left_out_comes_later(sides):
    """The sum of what arrived and of what waits is the sum of all gradients, at any moment."""
    compression, sent, arrived = LowRank(SHAPES, 1, "float64", seed=0, sides=sides), 0, 0
    for step in range(20):
        sent += gradients(step)[0].numpy()
        arrived += compression.total([], gradients(step), alone)[1][0].numpy()
        *_, waiting = compression.state()
        np.testing.assert_allclose(arrived + waiting, sent, atol=1e-10)
    assert np.abs(waiting).max() > 1e-3


@SIDES
def test_a_constant_gradient_arrives_on_average(sides):
    compression, constant = LowRank(SHAPES, 1, "float64", seed=0, sides=sides), gradients(3)
    arrived = [compression.total([], constant, alone)[1][0].numpy() for _ in range(300)]
    np.testing.assert_allclose(np.mean(arrived, axis=0), constant[0], atol=0.15)


@SIDES
def test_the_sum_over_workers_is_approximated_with_each_worker_keeping_its_own_rest(sides):
    workers = [LowRank(SHAPES, 2, "float64", seed=0, sides=sides) for _ in range(2)]
    own = [gradients(seed) for seed in (1, 2)]
    # The two stand still at each exchange until both are there: here, one call after the other by hand.
    exchanged = iter_exchange(workers, own)
    for left, right in zip(*exchanged, strict=True):
        np.testing.assert_array_equal(left, right)
    waiting = sum(worker.state()[-1] for worker in workers)
    total = own[0][0] + own[1][0]
    np.testing.assert_allclose(exchanged[0][0] + waiting, total, atol=1e-10)


def iter_exchange(workers: list[LowRank], own: list[list]) -> list[list]:
    import threading

    barrier, slots, results = threading.Barrier(2), [None, None], [None, None]

    def run(rank: int) -> None:
        def exchange(exact: list, parts: list) -> tuple[list, list]:
            slots[rank] = parts
            barrier.wait()
            total = [a + b for a, b in zip(*slots, strict=True)]
            barrier.wait()
            return exact, total

        results[rank] = workers[rank].total([], own[rank], exchange)[1]

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@SIDES
def test_state_is_restored(sides):
    one, other = (LowRank(SHAPES, 2, "float64", seed, sides) for seed in (0, 5))
    one.total([], gradients(1), alone)
    other.restore(one.state())
    for a, b in zip(one.total([], gradients(2), alone)[1], other.total([], gradients(2), alone)[1], strict=True):
        np.testing.assert_array_equal(a, b)
