"""The topology of docs/topologies.md works, and no file can bring one along."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from udfs.captioner.beam_search import Decoder, Search
from udfs.captioner.model import build_captioner, load_captioner
from udfs.captioner.shape import CaptionerShape
from udfs.captioner.text import END, START
from udfs.captioner.training import next_word_loss
from udfs.errors import InputError

SHAPE = CaptionerShape(vocabulary_size=12, feature_shape=(7,), embedding_dim=6, lstm_units=5)
TOKENS = np.array([[START, 5, 6, END], [START, 7, END, 0]], "int32")
NAME = "topology_of_the_docs:Bigram"


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory):
    text = (Path(__file__).parents[3] / "docs" / "topologies.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    folder = tmp_path_factory.mktemp("package")
    (folder / "topology_of_the_docs.py").write_text(code)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    del sys.modules["topology_of_the_docs"]


def test_it_is_trained_decoded_saved_and_read_where_it_is_named(tmp_path):
    captioner = build_captioner(SHAPE, NAME)
    photos, loss = np.eye(2, 7, dtype="float32"), next_word_loss(captioner)
    optimizer = tf.keras.optimizers.Adam(0.05)
    for _ in range(60):
        with tf.GradientTape() as tape:
            objective = loss(tf.constant(TOKENS), tf.range(2), photos, training=True).objective
        optimizer.apply(tape.gradient(objective, captioner.trainable_variables), captioner.trainable_variables)
    captioner.save(tmp_path / "model.keras")
    loaded = load_captioner((tmp_path / "model.keras").read_bytes(), NAME)
    assert Decoder(loaded, 5, Search(3)).captions(photos) == [[5, 6], [7]]


def test_a_file_does_not_choose_the_code_that_is_loaded(tmp_path):
    build_captioner(SHAPE, NAME).save(tmp_path / "model.keras")
    with pytest.raises(InputError, match=r"Bigram.*set model\.topology"):
        load_captioner((tmp_path / "model.keras").read_bytes())


@pytest.mark.parametrize("name", ["mergee", "no.such.module:Class", "os:system", "udfs.errors:InputError"])
def test_other_names_are_refused(name):
    with pytest.raises(InputError, match=r"model\.topology: "):
        build_captioner(SHAPE, name)
