import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from udfs.scoring.populations import (
    bin_of,
    discoveries,
    frechet_against_control,
    frechet_distance,
    log_odds,
    quantile_edges,
)

shapes = st.tuples(st.integers(2, 30), st.integers(2, 30), st.integers(1, 12), st.integers(0, 2**16))


@settings(max_examples=40, deadline=None)
@given(shapes, st.floats(0, 3))
def test_frechet_of_a_shifted_and_scaled_sample_is_the_closed_form(shape, scale):
    rows, _, columns, seed = shape
    rng = np.random.default_rng(seed)
    sample, shift = rng.normal(size=(rows, columns)), rng.normal(size=columns)
    # S and a^2 S have the root a S of their product: tr(S) (1 - a)^2, and the means are apart by the shift.
    moved = sample.mean(axis=0) + shift + scale * (sample - sample.mean(axis=0))
    expected = np.square(shift).sum() + (1 - scale) ** 2 * sample.var(axis=0, ddof=1).sum()
    assert frechet_distance(sample, moved) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(shapes)
def test_frechet_is_the_formula_with_covariances(shape):
    one, other, columns, seed = shape
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(one, columns)), rng.normal(2, 3, size=(other, columns))
    covariances = [np.atleast_2d(np.cov(sample, rowvar=False)) for sample in (first, second)]
    root = np.trace(sqrtm(covariances[0] @ covariances[1] + 1e-12 * np.eye(columns)).real)
    means = np.square(first.mean(axis=0) - second.mean(axis=0)).sum()
    expected = means + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * root
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-4, abs=1e-3)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-9)


def test_the_control_tells_the_same_population_from_another():
    rng = np.random.default_rng(0)
    train, same, other = rng.normal(size=(400, 8)), rng.normal(size=(150, 8)), rng.normal(0.7, 1, size=(150, 8))
    size, found, control = frechet_against_control(train, same, 10, 3)
    assert size == 150
    assert found.min() < control.max()
    _, found, control = frechet_against_control(train, other, 10, 3)
    assert found.min() > control.max()


def test_log_odds_of_a_worked_example():
    # The prior is worth 0.5 * 10 = 5 photos, 5 * 12 / 30 = 2 of which have the word.
    odds, z = log_odds(np.array([6]), 10, np.array([6]), 20)
    expected = np.log(8 / 7) - np.log(8 / 17)
    assert odds[0] == pytest.approx(expected)
    assert z[0] == pytest.approx(expected / np.sqrt(1 / 8 + 1 / 7 + 1 / 8 + 1 / 17))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_log_odds_change_sign_with_the_sides(one, other, data):
    first, second = np.array([data.draw(st.integers(0, one))]), np.array([data.draw(st.integers(0, other))])
    forth, back = log_odds(first, one, second, other), log_odds(second, other, first, one)
    if first[0] + second[0] in (0, one + other):
        assert forth[0][0] == forth[1][0] == 0
    assert forth[1][0] == pytest.approx(-back[1][0])
    if abs(first[0] / one - second[0] / other) > 1e-9:
        assert np.sign(forth[0][0]) == np.sign(first[0] / one - second[0] / other)


def test_words_beyond_chance_are_those_that_were_planted():
    rng = np.random.default_rng(5)
    shares = rng.uniform(0.01, 0.3, 500)
    train, other = rng.binomial(6000, shares), rng.binomial(1000, shares)
    assert discoveries(log_odds(other, 1000, train, 6000)[1]).sum() <= 2
    other[:10] = rng.binomial(1000, shares[:10] + 0.15)
    found = discoveries(log_odds(other, 1000, train, 6000)[1])
    assert found[:10].all()
    assert found[10:].sum() <= 4
    assert not len(discoveries(np.zeros(0)))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers(2, 8))
def test_bins_are_in_order_and_equal_values_share_one(values, bins):
    values = np.array(values, float)
    numbers = bin_of(values, quantile_edges(values, bins))
    order = np.argsort(values, kind="stable")
    assert (np.diff(numbers[order]) >= 0).all()
    assert len(set(zip(values, numbers, strict=True))) == len(set(values))
    assert numbers.max() < bins
    assert numbers.max() == len(quantile_edges(values, bins))


def test_bins_of_different_values_are_equally_large():
    values = np.random.default_rng(0).normal(size=1000)
    assert set(np.bincount(bin_of(values, quantile_edges(values, 4)))) <= {249, 250, 251}
