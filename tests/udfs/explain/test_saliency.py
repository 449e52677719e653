"""Each method explains a model whose reasons are known."""

import numpy as np
import pytest
from planted_model import BLUE, CAPTION, METHODS, RED, SETTINGS, SIDE, planted_model, planted_photo

from udfs.explain.saliency import grad_cam, occlusion, patch_starts, score_in_batches, smooth_grad
from udfs.explain.word_explanations import bind_caption, saliency_maps


@pytest.fixture(scope="module")
def model():
    return planted_model()


@pytest.fixture(scope="module")
def maps(model):
    return saliency_maps(model, planted_photo(), CAPTION, SETTINGS)


def share_inside(saliency: np.ndarray, place: tuple[slice, slice], margin: int) -> float:
    """How much of a map's positive mass is in a square or within so many pixels of it."""
    rows, columns = (slice(max(side.start - margin, 0), side.stop + margin) for side in place)
    positive = np.maximum(saliency, 0)
    return float(positive[rows, columns].sum() / positive.sum())


@pytest.mark.parametrize("method", METHODS)
def test_each_word_is_found_where_it_is_and_nowhere_else(maps, method):
    margin = SETTINGS.occlusion_patch if method == "occlusion" else 2
    red, blue = maps[method]
    assert red.shape == (SIDE, SIDE)
    assert share_inside(red, RED, margin) > 0.95
    assert share_inside(blue, BLUE, margin) > 0.95
    assert share_inside(red, BLUE, margin) < 0.05
    assert share_inside(blue, RED, margin) < 0.05


def test_hiding_what_speaks_against_a_word_shows_as_negative(model):
    scores = bind_caption(model.logits, CAPTION)
    against = occlusion(lambda photos: -scores(photos), planted_photo(), 8, 4, np.full(3, 100.0))
    assert against[0][RED].max() < 0
    assert np.abs(against[0][BLUE]).max() < 1e-3 * np.abs(against[0][RED]).max()


def test_grad_cam_is_its_formula():
    rng = np.random.default_rng(0)
    maps, gradients = rng.normal(size=(3, 4, 5)), rng.normal(size=(2, 3, 4, 5))
    by_hand = np.zeros((2, 3, 4))
    for score in range(2):
        for channel in range(5):
            by_hand[score] += gradients[score, :, :, channel].mean() * maps[:, :, channel]
    np.testing.assert_allclose(grad_cam(maps, gradients), np.maximum(by_hand, 0))
    assert (grad_cam(maps, gradients) == 0).any()


def test_smooth_grad_averages_before_it_takes_magnitudes():
    """The gradient of (x - 100)^2 at x = 100: every noisy copy has one, their mean vanishes."""
    photo = np.full((4, 4, 3), 100, "float32")
    photo[0, 0], photo[3, 3] = 0, 200
    found = smooth_grad(
        lambda noisy: 2 * (noisy - 100).sum(axis=0)[None], photo, samples=4000, noise=0.1, batch_size=500
    )
    assert found.shape == (1, 4, 4)
    np.testing.assert_allclose(found[0, [0, 3], [0, 3]], 600, rtol=0.02)
    assert found[0, 1:3, 1:3].max() < 10


def test_batches_change_nothing(model):
    photo, scores, slopes = (
        planted_photo(),
        bind_caption(model.logits, CAPTION),
        bind_caption(model.pixel_gradients, CAPTION),
    )
    sizes = []

    def counted(photos):
        sizes.append(len(photos))
        return scores(photos)

    one, many = (occlusion(counted, photo, 16, 8, np.zeros(3), batch_size) for batch_size in (5, 1000))
    np.testing.assert_allclose(one, many, atol=1e-5)
    assert sorted(set(sizes[:-2])) == [1, 5]
    first, second = (smooth_grad(slopes, photo, 6, batch_size=size, seed=4) for size in (6, 4))
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("length", "patch", "stride"), [(224, 32, 16), (50, 32, 16), (33, 32, 40), (20, 32, 16), (7, 2, 3)]
)
def test_squares_cover_a_side(length, patch, stride):
    starts = patch_starts(length, patch, stride)
    covered = {place for start in starts for place in range(start, min(start + patch, length))}
    if stride <= patch:
        assert covered == set(range(length))
    assert starts[-1] == max(length - patch, 0)


def test_in_batches_keeps_the_order():
    photos = (np.full((2, 2, 3), number, "float32") for number in range(7))
    assert score_in_batches(lambda batch: batch[:, 0, 0, :1], photos, 3).ravel().tolist() == list(range(7))
