"""A run's folder from someone else: what is wrong or forged in it is refused by name, and no code in it is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from udfs.captioner.model import CaptionerShape, build_captioner
from udfs.captioner.text import RESERVED
from udfs.captioning import caption_photo
from udfs.errors import InputError
from udfs.vision.extractor import Extractor
from udfs.vision.weights import file_hash, random_weights_hash

EXTRACTOR = Extractor("mobilenet_v2", "block_3_expand_relu", "avg", "float32", "random:0", random_weights_hash(0))
TOKENS = [*RESERVED, *(f"w{number}" for number in range(9))]
SHAPE = CaptionerShape(len(TOKENS), feature_size=144, embedding_dim=4, lstm_units=4, dropout=0.0)


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "honest"
    folder.mkdir()
    write_about(folder, EXTRACTOR)
    (folder / "vocabulary.json").write_text(json.dumps({"tokens": TOKENS, "max_length": 5}))
    build_captioner(SHAPE).save(folder / "model.keras")
    return folder


@pytest.fixture
def run(honest, tmp_path) -> Path:
    return shutil.copytree(honest, tmp_path / "run")


@pytest.fixture(scope="module")
def photo() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), "green").save(stream, "JPEG")
    return stream.getvalue()


def write_about(folder: Path, extractor: Extractor, **changes) -> None:
    record = {"extractor": extractor.fingerprint, "network": {**asdict(extractor), **changes}}
    (folder / "run.json").write_text(json.dumps(record))


def test_the_honest_run_captions(run, photo):
    assert all(word in TOKENS for word in caption_photo(photo, str(run)).split())


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def lambda_model(run: Path, trace: Path) -> None:
    """A captioner's model with a Lambda layer of code behind it."""
    model = build_captioner(SHAPE)
    code = keras.layers.Lambda(lambda logits: (__import__("os").mkdir("TRACE"), logits)[1], output_shape=lambda s: s)
    keras.Model(model.inputs, code(model.output)).save(run / "model.keras")
    shutil.rmtree("TRACE", ignore_errors=True)  # Keras may run the code when the model is built


def pickled_model(run: Path, trace: Path) -> None:
    (run / "model.keras").write_bytes(pickle.dumps(Payload(trace)))


def named_function_model(run: Path, trace: Path) -> None:
    """A configuration that names another class for a layer, as Keras's own format can."""
    change_model(run, lambda config: config["config"]["layers"][2].update(
        module="subprocess", class_name="Popen", registered_name=None, config={"args": ["mkdir", str(trace)]}
    ))  # fmt: skip


def named_activation_model(run: Path, trace: Path) -> None:
    dense = "photo_dense"

    def change(config: dict) -> None:
        (layer,) = (layer for layer in config["config"]["layers"] if layer["config"].get("name") == dense)
        layer["config"]["activation"] = {
            "module": "os", "class_name": "function", "config": "mkdir", "registered_name": "mkdir"
        }  # fmt: skip

    change_model(run, change)


def change_model(run: Path, change: Callable[[dict], None]) -> None:
    path = run / "model.keras"
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("forge", [lambda_model, pickled_model, named_function_model, named_activation_model])
def test_code_in_a_model_file_is_refused_and_not_run(run, photo, tmp_path, monkeypatch, forge):
    monkeypatch.chdir(tmp_path)
    forge(run, tmp_path / "TRACE")
    with pytest.raises(InputError, match=r"^model\.keras: .*expected a captioner that jobs/train\.py wrote"):
        caption_photo(photo, str(run))
    assert not (tmp_path / "TRACE").exists()


def other_architecture(run: Path) -> None:
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(run / "model.keras")


def other_sizes(run: Path) -> None:
    build_captioner(replace(SHAPE, feature_size=7)).save(run / "model.keras")


def unknown_field(run: Path) -> None:
    write_about(run, EXTRACTOR, command="rm -r /")


def no_network(run: Path) -> None:
    (run / "run.json").write_text("[1, 2]")


def broken_json(run: Path) -> None:
    (run / "run.json").write_text('{"network": ')


def network_elsewhere(run: Path) -> None:
    write_about(run, replace(EXTRACTOR, name="../os.system"))


def weights_that_are_none(run: Path) -> None:
    """Weights of a consistent record that are a pickled object."""
    weights = run / "weights.h5"
    weights.write_bytes(pickle.dumps(Payload(run.parent / "TRACE")))
    write_about(run, replace(EXTRACTOR, weights=str(weights), weights_hash=file_hash(str(weights))))


def weights_of_a_secret(run: Path) -> None:
    """A record that names a file of the reader: only weights files are opened, and only by their hash."""
    write_about(run, replace(EXTRACTOR, weights="/etc/passwd"))


def pickled_arrays(run: Path) -> None:
    path = run / "weights.h5"
    with path.open("wb") as stream:
        np.savez(stream, weights=np.array([Payload(run.parent / "TRACE")], dtype=object))
    write_about(run, replace(EXTRACTOR, weights=str(path), weights_hash=file_hash(str(path))))


def few_tokens(run: Path) -> None:
    (run / "vocabulary.json").write_text(json.dumps({"tokens": TOKENS[:5], "max_length": 5}))


def no_tokens(run: Path) -> None:
    (run / "vocabulary.json").write_text(json.dumps({"max_length": 5}))


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (other_architecture, r"^model\.keras: .*embedding"),
        (other_sizes, r"model\.keras: found a model from 7 features to 13 tokens, expected 144 and 13"),
        (unknown_field, r"run\.json: network: .*command"),
        (no_network, r"run\.json: found list, expected an object"),
        (broken_json, r"run\.json: JSONDecodeError"),
        (network_elsewhere, r"extractor\.name: found '\.\./os\.system'"),
        (weights_that_are_none, r"extractor\.weights: .*does not fit mobilenet_v2"),
        (weights_of_a_secret, r"weights: found '/etc/passwd', expected imagenet"),
        (pickled_arrays, r"extractor\.weights: .*does not fit mobilenet_v2"),
        (few_tokens, r"model\.keras: found a model from 144 features to 13 tokens, expected 144 and 5"),
        (no_tokens, r"vocabulary\.json: KeyError: 'tokens'"),
    ],
)
def test_a_forged_run_is_refused_by_name(run, photo, tmp_path, forge, words):
    forge(run)
    with pytest.raises(InputError, match=words):
        caption_photo(photo, str(run))
    assert not (tmp_path / "TRACE").exists()
