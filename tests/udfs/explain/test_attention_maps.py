"""The captioner's own attention among the explanations."""

import numpy as np
import pytest
import tensorflow as tf
from planted_model import BLUE, CAPTION, METHODS, RED, SETTINGS, SIDE, AttendingPlanted, planted_model, planted_photo

from udfs.captioner.model import build_captioner, set_frequencies
from udfs.captioner.shape import CaptionerShape
from udfs.captioner.text import START
from udfs.errors import InputError
from udfs.explain.joined_model import JoinedModel
from udfs.explain.randomised import randomised_weights
from udfs.explain.saliency import resize_maps
from udfs.explain.word_explanations import attention_maps, curve_areas, randomisation_check, saliency_maps
from udfs.keras_setup import keras

WORDS = np.array([5, 6, 4], "int32")


@pytest.fixture(scope="module")
def attending():
    """An attending captioner on maps of 4 x 6 positions, with a large bias of the logits."""
    keras.utils.set_random_seed(2)
    pixels = keras.Input((32, 48, 3))
    network = keras.Model(pixels, keras.layers.Conv2D(5, 8, strides=8, activation="relu")(pixels))
    options = {"heads": 2, "key_dim": 8, "value_dim": 6}
    shape = CaptionerShape(9, (4, 6, 5), 6, 5, options=options)
    captioner = build_captioner(shape, "attention")
    captioner.set_weights([4 * weight for weight in captioner.get_weights()])
    set_frequencies(captioner, tuple(range(9)))
    return JoinedModel(network, lambda photos: photos / 255, captioner)


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(5).uniform(0, 255, (32, 48, 3)).astype("float32")


def test_the_map_of_a_word_is_where_the_captioner_attended_when_it_predicted_it():
    maps = attention_maps(planted_model(attending=True), planted_photo(), CAPTION)["attention"]
    assert maps.shape == (2, SIDE, SIDE)
    for word, place in zip(maps, (RED, BLUE), strict=True):
        assert word[place].sum() > 0.9 * word.sum()


def test_attention_is_tested_as_the_other_maps_are():
    model, photo = planted_model(attending=True), planted_photo()
    maps = saliency_maps(model, photo, CAPTION, SETTINGS)
    assert tuple(maps) == (*METHODS, "attention")
    areas = curve_areas(model, photo, CAPTION, maps, SETTINGS)
    assert tuple(areas) == (*METHODS, "attention", "random")
    assert (areas["attention"]["insertion"] > areas["random"]["insertion"]).all()
    assert (areas["attention"]["deletion"] < areas["random"]["deletion"]).all()
    wrong = curve_areas(model, photo, CAPTION, {**maps, "attention": maps["attention"][::-1]}, SETTINGS)
    assert (wrong["attention"]["deletion"] > areas["attention"]["deletion"]).all()


def test_captioners_that_do_not_attend_have_no_such_map():
    assert attention_maps(planted_model(), planted_photo(), CAPTION) == {}


def test_the_weights_of_heads_are_averaged_in_the_maps_own_grid(attending, photo):
    captioner, feature = attending.captioner, attending.features(photo[None])
    encoded, state = captioner.encode(feature), captioner.start(captioner.encode(feature))
    by_steps = []
    for token in (START, *WORDS[:-1]):  # as decoding reads the caption
        _, state = captioner.step(tf.constant([token]), state, encoded)
        by_steps.append(captioner.attention(state[0][:, None], encoded[0]).numpy()[0, :, 0].mean(axis=0))
    weights = attending.word_maps(photo[None], WORDS).numpy()
    assert weights.shape == (1, 3, 4, 6)
    np.testing.assert_allclose(weights[0], np.reshape(by_steps, (3, 4, 6)), rtol=1e-4)
    assert np.abs(weights[0, 0] - weights[0, 2]).max() > 1e-3, "each word has its own"
    found = attention_maps(attending, photo, WORDS)["attention"]
    np.testing.assert_allclose(found, resize_maps(weights[0], (32, 48)))


def test_gradients_of_an_attending_captioner_are_those_of_differences(attending, photo):
    """Grad-CAM's and SmoothGrad's gradients, through the attention and the loop of the LSTM, from which its photo is fed."""
    gradients = attending.pixel_gradients(photo[None], WORDS).numpy()
    direction = np.random.default_rng(6).normal(size=photo.shape).astype("float32")
    ends = np.stack([photo + 0.5 * direction, photo - 0.5 * direction])
    above, below = attending.logits(ends, WORDS).numpy()
    np.testing.assert_allclose((gradients * direction).sum(axis=(1, 2, 3)), above - below, rtol=0.02, atol=1e-4)
    maps, of_maps = (part.numpy()[..., 0, :, :, :] for part in attending.maps_and_gradients(photo[None], WORDS))
    assert maps.shape == (4, 6, 5)
    read = np.array([[START, *WORDS[:-1]]], "int32")
    logits = [attending.captioner((read, (maps + step)[None])).numpy()[0] for step in (0.01, -0.01)]
    expected = (logits[0] - logits[1])[np.arange(3), WORDS] / 0.02
    np.testing.assert_allclose(of_maps.sum(axis=(1, 2, 3)), expected, rtol=0.02, atol=1e-3)


def test_randomising_forgets_the_bias_of_the_logits_too(attending, photo):
    captioner, before = attending.captioner, attending.captioner.get_weights()
    assert np.ptp(captioner.bias) > 2
    with randomised_weights(attending, 0.0):
        assert np.ptp(captioner.bias) == 0
        kernels = [pair for pair in zip(before, captioner.get_weights(), strict=True) if pair[0].ndim == 2]
        assert not any(np.array_equal(*pair) for pair in kernels)
    assert all(np.array_equal(one, two) for one, two in zip(before, captioner.get_weights(), strict=True))
    maps = {"attention": saliency_maps(attending, photo, WORDS, SETTINGS)["attention"]}
    checks = randomisation_check(attending, photo, WORDS, maps, SETTINGS)
    assert all(-1 <= check["attention"] < 0.9 for check in checks.values())


def test_a_topology_that_returns_another_shape_is_named(monkeypatch):
    model = planted_model(attending=True)
    monkeypatch.setattr(AttendingPlanted, "word_maps", lambda self, tokens, photo: photo)
    with pytest.raises(
        InputError, match=r"\[1, 56, 56, 2\] from word_maps of AttendingPlanted .*\[1, 2, rows, columns\]"
    ):
        attention_maps(model, planted_photo(), CAPTION)
