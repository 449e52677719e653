import numpy as np
import pytest
import tensorflow as tf

from udfs.captioner.model import CaptionerShape, build_captioner, set_initial_bias
from udfs.captioner.training import next_word_loss

SHAPE = CaptionerShape(vocabulary_size=23, feature_size=7, embedding_dim=6, lstm_units=5, dropout=0.5)
# Start, words, end, padding: of different lengths, one without words.
TOKENS = np.array(
    [[1, 5, 6, 7, 2, 0, 0], [1, 9, 2, 0, 0, 0, 0], [1, 2, 0, 0, 0, 0, 0], [1, 5, 5, 22, 3, 8, 2]], "int32"
)


@pytest.fixture(scope="module")
def captioner():
    tf.keras.utils.set_random_seed(3)
    return build_captioner(SHAPE)


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(1).normal(size=(len(TOKENS), SHAPE.feature_size)).astype("float32")


def loss_of_prefixes(captioner, tokens, photo) -> tuple[float, int]:
    """The thesis's way: a sample for every (prefix, next word)."""
    total, words = 0.0, 0
    for caption, seen in zip(tokens, photo, strict=True):
        length = int((caption != 0).sum())
        for end in range(1, length):
            logits = captioner([caption[None, :end], seen[None]], training=False)[0, -1]
            total -= float(tf.nn.log_softmax(logits)[caption[end]])
            words += 1
    return total, words


def test_one_pass_loss_equals_that_of_one_sample_a_prefix(captioner, photo):
    sums = next_word_loss(captioner)(tf.constant(TOKENS), tf.constant(photo), training=False)
    expected, count = loss_of_prefixes(captioner, TOKENS, photo)
    assert int(sums.weight) == count == 4 + 2 + 1 + 6
    assert float(sums.loss) == pytest.approx(expected, rel=1e-5)


def test_weights_that_say_nothing_predict_each_word_as_often_as_it_occurs():
    silent = build_captioner(SHAPE)
    silent.get_layer("logits").kernel.assign(np.zeros((SHAPE.lstm_units, SHAPE.vocabulary_size)))
    counts = (0, 0, *range(SHAPE.vocabulary_size - 2))
    set_initial_bias(silent, counts)
    logits = silent([TOKENS[:1, :3], np.ones((1, SHAPE.feature_size), "float32")])
    shares = (np.array(counts) + 1) / (sum(counts) + SHAPE.vocabulary_size)
    np.testing.assert_allclose(tf.nn.softmax(logits)[0, -1], shares, rtol=1e-5)


def test_gradients_are_those_of_the_keras_model_with_its_mask(captioner, photo):
    tokens, variables = tf.constant(TOKENS), captioner.trainable_variables
    with tf.GradientTape() as tape:
        target = next_word_loss(captioner)(tokens, tf.constant(photo), training=False).objective
    with tf.GradientTape() as other:
        logits = captioner([tokens[:, :-1], tf.constant(photo)], training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tokens[:, 1:], logits=logits)
        expected = tf.reduce_sum(tf.where(tokens[:, 1:] != 0, losses, 0.0))
    for one, two in zip(tape.gradient(target, variables), other.gradient(expected, variables), strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(one), tf.convert_to_tensor(two), rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing(captioner, photo):
    summed = next_word_loss(captioner)
    narrow = summed(tf.constant(TOKENS), tf.constant(photo), training=False)
    wide = summed(tf.constant(np.pad(TOKENS, ((0, 0), (0, 5)))), tf.constant(photo), training=False)
    assert np.allclose(tf.nest.flatten(narrow), tf.nest.flatten(wide), rtol=1e-5)


def test_a_batch_of_padding_weighs_nothing(captioner):
    variables = captioner.trainable_variables
    with tf.GradientTape() as tape:
        _, loss, words, (correct,) = next_word_loss(captioner)(
            tf.zeros((1, 2), tf.int32), tf.zeros((1, SHAPE.feature_size)), training=True
        )
    gradients = tape.gradient(loss, variables)
    assert (float(loss), float(correct), float(words)) == (0, 0, 0)
    assert all(not np.any(tf.convert_to_tensor(gradient)) for gradient in gradients)


def test_layers_are_those_of_the_thesis():
    model = build_captioner(CaptionerShape(vocabulary_size=100, feature_size=4096))
    assert model.get_layer("embedding").output.shape == (None, None, 256)
    assert model.get_layer("embedding").mask_zero
    assert model.get_layer("lstm").units == model.get_layer("photo_dense").units == 256
    assert model.get_layer("word_dropout").rate == model.get_layer("photo_dropout").rate == 0.5
    assert model.output.shape == (None, None, 100)
