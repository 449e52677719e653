import numpy as np
import pytest
from planted_model import BLUE, CAPTION, METHODS, RED, SETTINGS, SIDE, VOCABULARY, planted_model, planted_photo
from scipy.integrate import trapezoid

from udfs.captioner.model import build_captioner
from udfs.captioner.shape import CaptionerShape
from udfs.captioner.text import PADDING, START
from udfs.explain.earlier_words import leave_one_out
from udfs.explain.faithfulness import (
    CELLS,
    area_under_curve,
    cell_order,
    deletion_and_insertion,
    mean_colour,
    random_orders,
    rank_correlation,
)
from udfs.explain.joined_model import JoinedModel
from udfs.explain.randomised import randomised_weights
from udfs.explain.word_explanations import (
    CURVES,
    curve_areas,
    randomisation_check,
    saliency_maps,
    word_effects,
)


@pytest.fixture(scope="module")
def model():
    return planted_model()


@pytest.fixture(scope="module")
def maps(model):
    return saliency_maps(model, planted_photo(), CAPTION, SETTINGS)


def test_every_method_beats_random_orders(model, maps):
    areas = curve_areas(model, planted_photo(), CAPTION, maps, SETTINGS)
    for method in METHODS:
        assert (areas[method]["insertion"] > areas["random"]["insertion"]).all(), method
        assert (areas[method]["deletion"] < areas["random"]["deletion"]).all(), method


def test_the_wrong_place_loses_to_random_orders(model, maps):
    wrong = {method: maps[method][::-1] for method in METHODS}  # the red word judged by the blue word's map
    areas = curve_areas(model, planted_photo(), CAPTION, {m: -np.abs(maps[m]) for m in METHODS}, SETTINGS)
    swapped = curve_areas(model, planted_photo(), CAPTION, wrong, SETTINGS)
    for method in METHODS:
        assert (areas[method]["insertion"] < areas["random"]["insertion"]).all(), method
        right = curve_areas(model, planted_photo(), CAPTION, maps, SETTINGS)[method]["insertion"]
        assert (swapped[method]["insertion"] < right).all(), method


def test_curves_begin_and_end_with_whole_photos():
    photo, order = planted_photo(), np.arange(CELLS * CELLS)
    curves = deletion_and_insertion(lambda photos: photos.mean(axis=(1, 2, 3))[:, None], photo, [order, order[::-1]], 4)
    assert {name: curve.shape for name, curve in curves.items()} == dict.fromkeys(CURVES, (2, 5, 1))
    np.testing.assert_allclose(curves["deletion"][:, 0, 0], photo.mean(), rtol=1e-5)
    np.testing.assert_allclose(curves["deletion"][:, -1, 0], mean_colour(photo).mean(), rtol=1e-5)
    np.testing.assert_allclose(curves["insertion"][:, -1, 0], photo.mean(), rtol=1e-5)


def test_deletion_hides_the_share_that_a_step_says():
    photo = np.full((SIDE, SIDE, 3), 10, "float32")
    photo[0, 0] = 200
    untouched = deletion_and_insertion(
        lambda photos: (photos[..., 0] == 10).mean(axis=(1, 2))[:, None], photo, random_orders(1, 0), 4
    )
    assert untouched["deletion"][0, :, 0] == pytest.approx([1, 0.75, 0.5, 0.25, 0], abs=0.01)
    assert area_under_curve(untouched["deletion"])[0, 0] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("name", ["trapz", "trapezoid"])
def test_areas_are_those_of_the_trapezoidal_rule_with_any_numpy(monkeypatch, name):
    """NumPy 2 deprecates and then removes `trapz`; NumPy 1 has no `trapezoid`."""
    monkeypatch.delattr(np, name, raising=False)
    curves = np.random.default_rng(2).random((5, 8, 3))
    np.testing.assert_allclose(area_under_curve(curves), trapezoid(curves, dx=1 / 7, axis=1), rtol=1e-12)
    straight = np.linspace(1, 0, 4)[None, :, None]
    assert area_under_curve(straight)[0, 0] == pytest.approx(0.5)


def test_cells_are_ordered_by_their_mean_saliency():
    saliency = np.zeros((CELLS * 3 + 1, CELLS * 2), "float32")  # sides that cells do not divide evenly
    saliency[-1, -1] = 5
    saliency[:2, :1] = 0.1
    order = cell_order(saliency)
    assert order[:2].tolist() == [CELLS * CELLS - 1, 0]
    assert sorted(order) == list(range(CELLS * CELLS))


def test_rank_correlation():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(20, 30))
    assert rank_correlation(values, np.exp(values)) == pytest.approx(1)
    assert rank_correlation(values, -values) == pytest.approx(-1)
    assert abs(rank_correlation(values, rng.normal(size=(20, 30)))) < 0.15
    assert rank_correlation(values, np.zeros((20, 30))) == 0
    assert rank_correlation(np.array([1, 2, 2, 3]), np.array([1, 3, 2, 4])) == pytest.approx(0.9486833)


def test_randomising_changes_the_maps_and_is_undone(model, maps):
    before = [weights.copy() for weights in (*model.network.get_weights(), *model.captioner.get_weights())]
    with randomised_weights(model, 0.0):
        changed = [*model.network.get_weights(), *model.captioner.get_weights()]
    same = [np.array_equal(one, other) for one, other in zip(before, changed, strict=True)]
    assert same == [True, True, False, False]  # the captioner's alone
    correlations = {method: [] for method in METHODS}
    for seed in range(4):  # a random captioner may prefer the same square by chance
        checks = randomisation_check(
            model, planted_photo(), CAPTION, maps, type(SETTINGS)(**{**vars(SETTINGS), "seed": seed})
        )
        for method in METHODS:
            correlations[method].append(checks["everything"][method])
    for method in METHODS:
        assert np.mean(correlations[method]) < 0.7, method
    after = [*model.network.get_weights(), *model.captioner.get_weights()]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_tied_captioner_can_be_randomised(model):
    tied = build_captioner(CaptionerShape(VOCABULARY, (2,), embedding_dim=4, lstm_units=4, tie_embeddings=True))
    joined, before = JoinedModel(model.network, lambda photos: photos / 255, tied), tied.get_weights()
    with randomised_weights(joined, 0.0):
        assert not any(
            np.array_equal(one, other) for one, other in zip(before, tied.get_weights(), strict=True) if one.ndim == 2
        )
    assert all(np.array_equal(one, other) for one, other in zip(before, tied.get_weights(), strict=True))


def test_weights_come_back_after_an_error(model):
    before = model.captioner.get_weights()
    with pytest.raises(KeyboardInterrupt), randomised_weights(model, 1.0):
        raise KeyboardInterrupt
    assert all(np.array_equal(one, other) for one, other in zip(before, model.captioner.get_weights(), strict=True))


def test_the_photos_effect_is_what_its_squares_add(model):
    probabilities, effects, _ = word_effects(model, planted_photo(), CAPTION)
    assert (effects > 1).all()
    hidden = planted_photo()
    hidden[RED] = hidden[BLUE] = mean_colour(hidden)
    assert (word_effects(model, hidden, CAPTION)[0] < probabilities - 0.1).all()


def test_leaving_out_the_word_that_matters():
    """A captioner to which 5 makes 9 likelier by two nats, and 6 by less the further back it is."""

    def next_word_log_probabilities(tokens, feature):
        scores = np.zeros((*tokens.shape, 12), "float32")
        for row, sentence in enumerate(tokens):
            for step in range(len(sentence)):
                read = [token for token in sentence[: step + 1] if token != PADDING]
                assert read[0] == START
                scores[row, step, 9] = 2 * (5 in read) - (len(read) - read.index(6) if 6 in read else 0)
        return scores

    effects = leave_one_out(next_word_log_probabilities, [5, 7, 6, 9], np.zeros(3, "float32"))
    assert effects.shape == (4, 4)
    assert effects[3].tolist() == [2, 0, -1, 0]
    assert effects[:3].tolist() == [[0] * 4] * 3  # words other than 9 depend on nothing
    assert leave_one_out(next_word_log_probabilities, [9], np.zeros(3, "float32")).tolist() == [[0]]
