import numpy as np
import pytest

from udfs.captioner.normalisation import FeatureSums, normalisation_of


@pytest.fixture(scope="module")
def features():
    """Nearly equal photos, as a network's pooled features are; the last channel never varies."""
    found = 5 + 0.1 * np.random.default_rng(0).normal(size=(40, 2, 3, 7)) * np.arange(1, 8)
    found[..., -1] = 2.5
    return found.astype("float32")


def test_centred_has_the_mean_of_each_channel_and_one_deviation(features):
    found = normalisation_of([FeatureSums.of(features)], "centred")
    flat = features.reshape(-1, 7).astype("float64")
    np.testing.assert_allclose(found.mean, flat.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.deviation, [np.sqrt(flat.var(axis=0).mean())], rtol=1e-6)


def test_standardised_has_a_deviation_of_each_channel_that_varies(features):
    found = normalisation_of([FeatureSums.of(features)], "standardised")
    flat = features.reshape(-1, 7).astype("float64")
    np.testing.assert_allclose(found.deviation[:-1], flat.std(axis=0)[:-1], rtol=1e-6)
    assert found.deviation[-1] == pytest.approx(np.sqrt(flat.var(axis=0).mean()), rel=1e-6)


def test_how_photos_are_divided_into_batches_changes_no_bit(features):
    whole = FeatureSums.of(features)
    for cuts in ([1], [7, 8, 33]):
        sums = None
        for batch in np.split(features, cuts):
            sums = FeatureSums.of(batch, sums)
        assert all(np.array_equal(one, other) for one, other in zip(sums, whole, strict=True))


def test_features_that_are_all_equal_stay_finite():
    found = normalisation_of([FeatureSums.of(np.full((3, 4), 7.0, "float32"))], "centred")
    assert (found.mean, found.deviation) == ((7.0,) * 4, (1.0,))
