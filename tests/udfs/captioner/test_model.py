"""Every topology: one pass is the thesis's samples, steps are the pass, padding is nothing, and files give the model back."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from keras_merge import keras_merge

from udfs.captioner.model import build_captioner, load_captioner, set_frequencies
from udfs.captioner.normalisation import Normalisation
from udfs.captioner.shape import CaptionerShape
from udfs.captioner.topologies.merge import Merge
from udfs.captioner.training import next_word_loss
from udfs.engine.replica import set_precision
from udfs.errors import InputError

MERGE = CaptionerShape(vocabulary_size=23, feature_shape=(7,), embedding_dim=6, lstm_units=5, dropout=0.5)
ATTENTION = replace(
    MERGE,
    feature_shape=(2, 3, 7),
    tie_embeddings=True,
    normalisation=Normalisation(tuple(np.linspace(-1, 1, 7)), (1.5,)),
    options={"heads": 2, "key_dim": 8, "value_dim": 6},
)
TRANSFORMER = replace(ATTENTION, options={"heads": 2, "positions": 12})
SHAPES = {"merge": MERGE, "attention": ATTENTION, "transformer": TRANSFORMER}
# Start, words, end, padding: of different lengths, one without words. The first two are of one photo.
TOKENS = np.array(
    [[1, 5, 6, 7, 2, 0, 0], [1, 9, 2, 0, 0, 0, 0], [1, 2, 0, 0, 0, 0, 0], [1, 5, 5, 22, 3, 8, 2]], "int32"
)
PHOTO_OF_CAPTION = np.array([1, 1, 0, 2], "int32")


@pytest.fixture(scope="module", params=SHAPES)
def captioner(request):
    tf.keras.utils.set_random_seed(3)
    return build_captioner(SHAPES[request.param], request.param)


@pytest.fixture
def photos(captioner):
    return np.random.default_rng(1).normal(size=(3, *captioner.shape.feature_shape)).astype("float32")


@pytest.fixture
def batch(photos):
    return tf.constant(TOKENS), tf.constant(PHOTO_OF_CAPTION), tf.constant(photos)


def loss_of_prefixes(captioner, tokens, photos) -> tuple[float, int]:
    """The thesis's way: a sample for every (prefix, next word)."""
    total, words = 0.0, 0
    for caption, place in zip(tokens, PHOTO_OF_CAPTION, strict=True):
        length = int((caption != 0).sum())
        for end in range(1, length):
            logits = captioner([caption[None, :end], photos[place][None]], training=False)[0, -1]
            total -= float(tf.nn.log_softmax(logits)[caption[end]])
            words += 1
    return total, words


def test_one_pass_loss_equals_that_of_one_sample_a_prefix(captioner, photos, batch):
    sums = next_word_loss(captioner)(*batch, training=False)
    expected, count = loss_of_prefixes(captioner, TOKENS, photos)
    assert int(sums.weight) == count == 4 + 2 + 1 + 6
    assert float(sums.loss) == pytest.approx(expected, rel=1e-5)


def test_steps_with_carried_state_equal_the_whole_pass(captioner, photos):
    encoded = tuple(tf.gather(part, PHOTO_OF_CAPTION) for part in captioner.encode(photos))
    state, whole = captioner.start(encoded), captioner.hidden(TOKENS, encoded)
    for place in range(TOKENS.shape[1]):
        hidden, state = captioner.step(tf.constant(TOKENS[:, place]), state, encoded)
        np.testing.assert_allclose(hidden, whole[:, place], rtol=1e-4, atol=1e-6)


def test_a_photo_given_once_counts_as_if_it_were_given_with_each_caption(captioner, photos, batch):
    once = next_word_loss(captioner)(*batch, training=False)
    each = next_word_loss(captioner)(batch[0], tf.range(4), tf.constant(photos[PHOTO_OF_CAPTION]), training=False)
    np.testing.assert_allclose(float(once.loss), float(each.loss), rtol=1e-6)


def test_the_photo_and_the_words_matter(captioner, photos):
    logits = captioner([np.repeat(TOKENS[:1], 3, axis=0), photos], training=False).numpy()
    assert np.abs(logits[0] - logits[1]).max() > 1e-3
    other = captioner([TOKENS[3:], photos[:1]], training=False).numpy()
    assert np.abs(logits[0, 3] - other[0, 3]).max() > 1e-3


def test_weights_that_say_nothing_predict_each_word_as_often_as_it_occurs(captioner, photos):
    silent = build_captioner(captioner.shape, type(captioner).__name__.lower())
    silent.set_weights([np.zeros_like(weight) for weight in silent.get_weights()])
    counts = (0, 0, *range(captioner.shape.vocabulary_size - 2))
    set_frequencies(silent, counts)
    logits = silent([TOKENS[:1, :3], photos[:1]])
    shares = (np.array(counts) + 1) / (sum(counts) + captioner.shape.vocabulary_size)
    np.testing.assert_allclose(tf.nn.softmax(logits)[0, -1], shares, rtol=1e-5)


def test_the_map_of_a_word_depends_on_the_words_before_it_alone(captioner, photos):
    tokens = tf.constant(TOKENS[:3])
    maps = captioner.word_maps(tokens, photos)
    if isinstance(captioner, Merge):
        assert maps is None
        return
    assert maps.shape == (3, 7, 2, 3)
    np.testing.assert_allclose(tf.reduce_sum(maps, axis=(2, 3)), 1, rtol=1e-5)
    np.testing.assert_allclose(maps[:, :2], captioner.word_maps(tokens[:, :2], photos), rtol=1e-5)
    assert np.abs(maps[0, 0] - maps[1, 0]).max() > 1e-4, "it depends on the photo"


def test_padding_changes_nothing(captioner, batch):
    summed, (tokens, *rest) = next_word_loss(captioner), batch
    narrow = summed(tokens, *rest, training=False)
    wide = summed(tf.pad(tokens, ((0, 0), (0, 5))), *rest, training=False)
    assert np.allclose(tf.nest.flatten(narrow), tf.nest.flatten(wide), rtol=1e-5)


def test_a_batch_of_padding_weighs_nothing(captioner):
    variables = captioner.trainable_variables
    with tf.GradientTape() as tape:
        _, loss, words, (correct,) = next_word_loss(captioner)(
            tf.zeros((1, 2), tf.int32), tf.zeros(1, tf.int32), captioner.shape.no_photo(), training=True
        )
    gradients = tape.gradient(loss, variables)
    assert (float(loss), float(correct), float(words)) == (0, 0, 0)
    assert all(not np.any(tf.convert_to_tensor(gradient)) for gradient in gradients)


def test_a_saved_file_gives_the_same_model(captioner, photos, tmp_path):
    captioner.save(tmp_path / "model.keras")
    loaded = load_captioner((tmp_path / "model.keras").read_bytes())
    assert type(loaded) is type(captioner)
    assert loaded.shape == captioner.shape
    np.testing.assert_array_equal(*(model([TOKENS[:3], photos]) for model in (captioner, loaded)))


def test_bfloat16_does_not_lose_what_normalisation_keeps():
    """Features of a large mean and a small deviation, which bfloat16 cannot hold before they are centred."""
    shape = replace(MERGE, normalisation=Normalisation((100.0,) * 7, (0.1,)))
    set_precision("mixed_bfloat16")
    try:
        captioner = build_captioner(shape)
    finally:
        set_precision("float32")
    photos = 100 + np.array([[0.1], [-0.1]], "float32") * np.ones((2, 7), "float32")
    np.testing.assert_allclose(tf.cast(captioner.normalised(photos), "float32"), [[1.0] * 7, [-1.0] * 7], atol=0.01)


class TestMerge:
    @pytest.fixture(scope="class")
    def pair(self):
        tf.keras.utils.set_random_seed(3)
        stock, own = keras_merge(MERGE), build_captioner(MERGE)
        for layer in own.layers:
            layer.set_weights(stock.get_layer(layer.name).get_weights())
        return stock, own

    def test_loss_and_gradients_are_those_of_stock_layers_with_their_mask(self, pair):
        stock, own = pair
        photos = np.random.default_rng(1).normal(size=(3, 7)).astype("float32")
        with tf.GradientTape() as tape:
            target = next_word_loss(own)(tf.constant(TOKENS), PHOTO_OF_CAPTION, photos, training=False).objective
        with tf.GradientTape() as other:
            logits = stock([TOKENS[:, :-1], photos[PHOTO_OF_CAPTION]], training=False)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=TOKENS[:, 1:], logits=logits)
            expected = tf.reduce_sum(tf.where(TOKENS[:, 1:] != 0, losses, 0.0))
        names = [variable.path.rpartition("captioner/")[2] for variable in own.trainable_variables]
        assert names == [variable.path for variable in stock.trainable_variables]
        found, wanted = (
            tape.gradient(target, own.trainable_variables),
            other.gradient(expected, stock.trainable_variables),
        )
        for one, two in zip(found, wanted, strict=True):
            np.testing.assert_allclose(tf.convert_to_tensor(one), tf.convert_to_tensor(two), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("tied", [False, True])
    def test_a_file_of_an_earlier_version_is_read(self, tied, tmp_path):
        stock = keras_merge(replace(MERGE, embedding_dim=5, tie_embeddings=tied))
        stock.save(tmp_path / "model.keras")
        loaded = load_captioner((tmp_path / "model.keras").read_bytes())
        photos = np.random.default_rng(1).normal(size=(4, 7)).astype("float32")
        found, expected = (model([TOKENS, photos]).numpy()[TOKENS != 0] for model in (loaded, stock))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)

    def test_layers_are_those_of_the_thesis(self):
        model = build_captioner(CaptionerShape(vocabulary_size=100, feature_shape=(4096,)))
        assert model.get_layer("lstm").units == model.get_layer("photo_dense").units == 256
        assert model.get_layer("word_dropout").rate == model.get_layer("photo_dropout").rate == 0.5
        shapes = [variable.shape for variable in model.trainable_variables]
        assert shapes == [
            (100, 256), (4096, 256), (256,), (256, 1024), (256, 1024), (1024,), (256, 256), (256,), (256, 100), (100,)
        ]  # fmt: skip


class TestAttention:
    def test_weights_on_positions_sum_to_one_and_move_the_context(self):
        captioner = build_captioner(ATTENTION, "attention")
        photos = np.random.default_rng(4).normal(size=(2, 2, 3, 7)).astype("float32")
        encoded = captioner.encode(photos)
        weights = captioner.attention(np.ones((2, 4, 5), "float32"), encoded[0]).numpy()
        assert weights.shape == (2, 2, 4, 6)
        np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
        mixed = captioner.encode(photos[:, :, ::-1])  # positions in another order, with the same mean
        same = [captioner.hidden(TOKENS[:2], part) for part in (encoded, mixed)]
        np.testing.assert_allclose(*same, rtol=1e-4, atol=1e-5)

    def test_positions_without_rows_and_columns_are_no_map(self):
        captioner = build_captioner(replace(ATTENTION, feature_shape=(6, 7)), "attention")
        assert captioner.word_maps(TOKENS, captioner.shape.no_photo(4)) is None

    def test_pooled_features_are_refused_with_what_to_do(self):
        with pytest.raises(InputError, match=r"model.topology: attention needs feature maps.*extractor.pooling=none"):
            build_captioner(replace(ATTENTION, feature_shape=(7,)), "attention")

    @pytest.mark.parametrize(
        ("options", "message"), [({"head": 2}, "found head, expected some of heads"), ({"heads": 3}, "a multiple of")]
    )
    def test_wrong_options_are_refused(self, options, message):
        with pytest.raises(InputError, match=f"model.options: .*{message}"):
            build_captioner(replace(ATTENTION, options={**ATTENTION.options, **options}), "attention")


class TestTransformer:
    def test_it_sees_the_order_of_words(self):
        captioner = build_captioner(TRANSFORMER, "transformer")
        one, other = (
            captioner([np.array([[1, *words]]), captioner.shape.no_photo()]) for words in ((5, 9, 7), (9, 5, 7))
        )
        assert np.abs(one[0, -1] - other[0, -1]).max() > 1e-3

    def test_a_caption_longer_than_its_positions_is_refused(self):
        captioner = build_captioner(TRANSFORMER, "transformer")
        captioner([np.ones((1, 12), "int32"), captioner.shape.no_photo()])
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"positions=12 .* set it to text.max_length \+ 2"):
            captioner([np.ones((1, 13), "int32"), captioner.shape.no_photo()])

    def test_heads_that_do_not_divide_its_width_are_refused(self):
        with pytest.raises(InputError, match=r"model.embedding_dim: found 6 with 4 heads, expected a multiple"):
            build_captioner(replace(TRANSFORMER, options={}), "transformer")
