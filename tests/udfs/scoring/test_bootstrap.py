import numpy as np
import pandas as pd
import pytest

from udfs.scoring.bootstrap import interval, poisson_weights, weighted_sums, weighted_sums_by_system

PHOTOS = 400


@pytest.fixture
def rows():
    values = np.random.default_rng(1).integers(0, 20, PHOTOS)
    return pd.DataFrame({"image_id": [f"{n}.jpg" for n in range(PHOTOS)], "counts": [[int(v), 1] for v in values]})


def sums(batches) -> np.ndarray:
    (result,) = weighted_sums(500, 7, iter(batches))
    assert list(result["sample"]) == list(range(501))
    return np.stack(result.sums)


def test_sample_0_is_the_photos_themselves(rows):
    assert list(sums([rows])[0]) == [sum(value for value, _ in rows.counts), PHOTOS]


def test_how_rows_are_spread_changes_nothing(rows):
    shuffled = rows.sample(frac=1, random_state=2)
    assert np.array_equal(sums([rows]), sums([shuffled[:11], shuffled[:0], shuffled[11:]]))


def test_a_seed_and_a_name_decide_the_weights():
    assert np.array_equal(poisson_weights("a.jpg", 50, 1), poisson_weights("a.jpg", 50, 1))
    assert not np.array_equal(poisson_weights("a.jpg", 50, 1), poisson_weights("b.jpg", 50, 1))
    assert not np.array_equal(poisson_weights("a.jpg", 50, 1), poisson_weights("a.jpg", 50, 2))


def test_the_interval_is_that_of_drawing_with_replacement(rows):
    found = sums([rows])
    low, high = interval(found[1:, 0] / found[1:, 1], 0.95)
    values = np.array([value for value, _ in rows.counts])
    half = 1.96 * values.std() / np.sqrt(PHOTOS)
    assert low == pytest.approx(values.mean() - half, abs=half / 4)
    assert high == pytest.approx(values.mean() + half, abs=half / 4)


def test_systems_are_summed_apart_on_the_same_draws(rows):
    half = rows.iloc[: PHOTOS // 2]
    mixed = pd.concat([rows.assign(system="a"), half.assign(system="b")]).sample(frac=1, random_state=4)
    found = pd.concat(weighted_sums_by_system(500, 7, iter([mixed[:99], mixed[99:]])))
    for system, rows_of_system in (("a", rows), ("b", half)):
        of_system = found[found.system == system]
        assert list(of_system["sample"]) == list(range(501))
        assert np.array_equal(np.stack(of_system.sums), sums([rows_of_system]))
