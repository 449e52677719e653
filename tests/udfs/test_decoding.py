from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from udfs.captioner import CaptionerShape, build_captioner
from udfs.decoding import Decoder, caption_photos, load_captioner
from udfs.text import END, PADDING, START, UNKNOWN

SHAPE = CaptionerShape(vocabulary_size=17, feature_size=6, embedding_dim=8, lstm_units=8, dropout=0.5)
MAX_LENGTH = 9


@pytest.fixture(scope="module")
def captioner():
    tf.keras.utils.set_random_seed(5)
    model = build_captioner(SHAPE)
    for variable in model.trainable_variables:  # far enough from zero that captions differ and some end
        variable.assign(variable * 4)
    return model


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(2).normal(size=(12, SHAPE.feature_size)).astype("float32") * 3


def reread(captioner, seen) -> list[int]:
    """Greedy decoding that reads the whole prefix for each word."""
    caption = [START]
    for _ in range(MAX_LENGTH):
        logits = captioner([np.array([caption], "int32"), seen[None]], training=False)[0, -1].numpy()
        logits[[PADDING, START, UNKNOWN]] = -np.inf
        caption.append(int(logits.argmax()))
        if caption[-1] == END:
            break
    return [token for token in caption[1:] if token != END]


def test_carried_state_equals_rereading(captioner, photo):
    captions = Decoder(captioner, MAX_LENGTH).captions(photo)
    assert captions == [reread(captioner, seen) for seen in photo]
    assert len({tuple(caption) for caption in captions}) > 3
    assert len({len(caption) for caption in captions}) > 1


def test_reserved_tokens_are_never_generated(captioner, photo):
    biased = build_captioner(SHAPE)
    biased.set_weights(captioner.get_weights())
    bias = biased.get_layer("logits").bias
    bias.assign(tf.tensor_scatter_nd_add(bias, [[PADDING], [START], [UNKNOWN]], [100.0] * 3))
    generated = {token for caption in Decoder(biased, MAX_LENGTH).captions(photo) for token in caption}
    assert generated
    assert not generated & {PADDING, START, END, UNKNOWN}


def test_a_saved_model_captions_rows(captioner, photo, tmp_path):
    captioner.save(tmp_path / "model.keras")
    words = [f"w{number}" for number in range(SHAPE.vocabulary_size)]
    ids = [f"{number}.jpg" for number in range(len(photo))]
    feature = pa.array(list(photo), pa.list_(pa.float32()))
    batch = pa.RecordBatch.from_arrays([pa.array(ids), feature], names=["image_id", "feature"])
    model = SimpleNamespace(value=(tmp_path / "model.keras").read_bytes())
    (rows,) = caption_photos(model, words, MAX_LENGTH, 2, iter([batch]))
    expected = [
        " ".join(f"w{token}" for token in caption) for caption in Decoder(captioner, MAX_LENGTH).captions(photo)
    ]
    assert rows.to_pydict() == {"image_id": ids, "hypothesis": expected}


def test_a_model_with_code_in_it_is_refused(tmp_path):
    import keras

    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x)(inputs)).save(tmp_path / "evil.keras")
    with pytest.raises(Exception, match=r"safe_mode|unsafe"):
        load_captioner((tmp_path / "evil.keras").read_bytes())
