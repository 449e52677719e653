"""Keras as the project needs it, in processes of their own: Keras reads its configuration when it is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT

FEATURES = """
import numpy as np
from udfs.vision.extractor import Extractor, load_network
network = load_network(Extractor("mobilenet_v2", "out_relu", "avg", "float32", "random:0", "none"), None)
photos = np.random.default_rng(0).integers(0, 256, (2, *network.photo_size, 3), "uint8")
features = network.predict(photos).numpy()
import keras
config = keras.config
print([config.backend(), config.image_data_format(), config.floatx(), config.epsilon(), network.photo_size])
print(features.shape, features.tobytes().hex())
"""


def python(code: str, keras_home, **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "KERAS_HOME": str(keras_home), "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)


def configure(folder, **values) -> None:
    (folder / "keras.json").write_text(json.dumps(values))


def test_features_do_not_depend_on_the_configuration_of_keras(tmp_path):
    plain = python(FEATURES, tmp_path / "none")
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.startswith("['tensorflow', 'channels_last', 'float32', 1e-07, (224, 224)]\n(2, 1280) ")
    configure(
        tmp_path, backend="jax", image_data_format="channels_first", floatx="float16", epsilon=0.5, nnx_enabled=True
    )
    other = python(FEATURES, tmp_path, KERAS_BACKEND="torch")
    assert other.returncode == 0, other.stderr
    assert other.stdout == plain.stdout


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"floatx": "float8"}, "float8"),
        ({"image_data_format": "NHWC"}, "NHWC"),
    ],
)
def test_a_value_that_keras_does_not_know_is_named_with_its_file(tmp_path, values, words):
    configure(tmp_path, **values)
    done = python("import udfs.keras_setup", tmp_path)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"udfs.errors.InputError: {tmp_path}/keras.json: ")
    assert words in last
    assert "correct or delete the file" in last


def test_a_process_that_has_imported_another_keras_is_refused_by_name(tmp_path):
    """As in a notebook whose first cell imports Keras. No other backend is installed here, so its name is set."""
    code = "import keras; from keras.src.backend import config; config._BACKEND = 'jax'; import udfs.keras_setup"
    done = python(code, tmp_path)
    assert "InputError: KERAS_BACKEND: this process imported Keras with jax, expected tensorflow" in done.stderr
