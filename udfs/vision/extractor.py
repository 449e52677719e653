"""The networks of `keras.applications` that turn photos into features, and how an executor runs them."""

from __future__ import annotations

import gc
import hashlib
import inspect
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from udfs.devices import use_task_devices
from udfs.errors import InputError
from udfs.vision.decode import PhotoLimits, PhotoRefused, decode_photo

if TYPE_CHECKING:
    import keras

# Where a network's features are usually taken: (layer, pooling). Of a network that is not here it is the last layer with
# positions, averaged over them.
USUAL_LAYERS = {
    "vgg16": ("fc2", "none"),
    "vgg19": ("fc2", "none"),
    "resnet50": ("avg_pool", "none"),
    "inception_v3": ("avg_pool", "none"),
    "xception": ("avg_pool", "none"),
    "mobilenet_v2": ("out_relu", "avg"),  # its own pooling layer has another name in every process
}


RESULT_SCHEMA = """
    image_id string, content_hash string, feature array<float>, feature_shape array<int>, reason string, details string
"""
PROBE_SCHEMA = "shape array<int>, problem string"


@dataclass(frozen=True)
class Extractor:
    """Which features are computed. Everything here changes them, so everything here is in the fingerprint.

    weights_hash is the SHA-256 of the weights file, or names the seed of random weights and the libraries that drew them.
    """

    name: str
    layer: str
    pooling: str
    precision: str
    weights: str
    weights_hash: str
    preprocessing: str = "keras.applications, RGB, nearest"

    @property
    def fingerprint(self) -> str:
        """Features of two fingerprints never mix."""
        parts = {key: value for key, value in asdict(self).items() if key != "weights"}
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
        return f"{self.name}-{self.layer}-{self.pooling}-{self.precision}-{digest}"


def find_network(name: str):
    """(model builder, its module with preprocess_input) of a network of `keras.applications`, by name.

    The name is the function's, in any case and with or without underscores: vgg16, inception_v3, MobileNetV2, ...
    Raises InputError that names the nearest one.
    """
    import difflib

    import keras

    networks = {key.lower(): key for key, item in vars(keras.applications).items() if inspect.isfunction(item)}
    spelled = networks.get(name.replace("_", "").lower())
    if spelled is None:
        nearest = difflib.get_close_matches(name.lower(), networks, n=1, cutoff=0.0)[0]
        raise InputError(
            f"extractor.name: found {name!r}, expected a network of keras.applications; nearest: {nearest}"
        )
    builder = getattr(keras.applications, spelled)
    for module in (item for item in vars(keras.applications).values() if inspect.ismodule(item)):
        if getattr(module, spelled, None) is builder and hasattr(module, "preprocess_input"):
            return builder, module
    raise InputError(f"extractor.name: {spelled} has no preprocess_input; choose another network")


def build_network(extractor: Extractor, weights_file: str | None) -> tuple[keras.Model, tuple[int, int]]:
    """The network from photo to feature, and the (height, width) of the photos that it takes.

    Raises InputError for an unknown network or layer, and for weights of another network.
    """
    import keras

    builder, _ = find_network(extractor.name)
    keras.config.set_dtype_policy(extractor.precision)
    try:
        if extractor.weights.startswith("random:"):
            keras.utils.set_random_seed(int(extractor.weights.partition(":")[2]))
            network = builder(weights=None)
        else:
            network = builder(weights=weights_file)
    except (ValueError, OSError, KeyError) as error:
        raise InputError(
            f"extractor.weights: {extractor.weights} does not fit {extractor.name} ({brief(error)}); "
            "give the weights of this network with its classes"
        ) from error
    finally:
        keras.config.set_dtype_policy("float32")
    layer = _feature_layer(network, extractor)
    output = layer.output
    if extractor.pooling == "avg" and len(output.shape) == 4:
        output = keras.layers.GlobalAveragePooling2D(dtype="float32")(output)
    return keras.Model(network.input, output), tuple(network.input_shape[1:3])


def _feature_layer(network: keras.Model, extractor: Extractor):
    import difflib

    names = [layer.name for layer in network.layers]
    if extractor.layer not in names:
        nearest = difflib.get_close_matches(extractor.layer, names, n=1, cutoff=0.0)[0]
        raise InputError(
            f"extractor.layer: {extractor.name} has no layer {extractor.layer!r}; the nearest is {nearest!r}, "
            "and extractor.layer=default takes the usual one"
        )
    return network.get_layer(extractor.layer)


def usual_layer(name: str) -> tuple[str, str]:
    """(layer, pooling) of a network's features where the configuration leaves the layer open."""
    if name.lower() not in USUAL_LAYERS:
        builder, _ = find_network(name)
        layers = [layer for layer in builder(weights=None).layers if len(getattr(layer.output, "shape", ())) == 4]
        return layers[-1].name, "avg"
    return USUAL_LAYERS[name.lower()]


def load_network(extractor: Extractor, weights_file: str | None):
    """(function from uint8 photos (n, height, width, 3) to features, their (height, width), a feature's shape)."""
    import tensorflow as tf

    network, size = build_network(extractor, weights_file)
    _, module = find_network(extractor.name)

    @tf.function(reduce_retracing=True)
    def predict(photos):
        pixels = module.preprocess_input(tf.cast(photos, tf.float32))
        return tf.cast(network(pixels, training=False), tf.float32)

    return predict, size, list(network.output_shape[1:])


@lru_cache(maxsize=1)
def _loaded(extractor: Extractor, weights_file: str | None, task_cores: int):
    """The compiled network of this Python worker; tasks that reuse the worker reuse it."""
    use_task_devices(task_cores)
    loaded = load_network(extractor, weights_file)
    # Spark's Python worker collects garbage after each task, which takes half a second with all that TensorFlow loaded.
    gc.freeze()
    return loaded


def probe(
    extractor: Extractor, weights_name: str | None, task_cores: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Maps anything to one row (shape, problem): a feature's shape, or why the network cannot be built.

    The Python worker that runs it keeps the network for the photos to come.
    """
    shape, problem = None, None
    for _ in batches:
        try:
            _, _, shape = _loaded(extractor, local_weights(weights_name), task_cores)
        except InputError as error:
            problem = str(error)
    columns = [pa.array([shape], pa.list_(pa.int32())), pa.array([problem], pa.string())]
    yield pa.RecordBatch.from_arrays(columns, names=["shape", "problem"])


def extract(
    extractor: Extractor,
    weights_name: str | None,
    limits: PhotoLimits,
    batch_size: int,
    task_cores: int,
    batches: Iterator[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """Maps rows (image_id, content_hash, content) to RESULT_SCHEMA.

    A photo that is refused has a null feature and a reason. The network is loaded once a Python worker.
    """
    predict, size, shape = _loaded(extractor, local_weights(weights_name), task_cores)
    for batch in batches:
        for start in range(0, batch.num_rows, batch_size):
            part = batch.slice(start, batch_size)
            photos, refusals = _decode_all(part.column("content"), size, limits)
            features = predict(np.stack(photos)).numpy() if photos else np.zeros((0, *shape), "float32")
            yield _result(part, features.reshape(len(photos), math.prod(shape)), shape, refusals)


def local_weights(name: str | None) -> str | None:
    """The path of a weights file that the driver sent with `SparkContext.addFile`."""
    from pyspark import SparkFiles

    return None if name is None else SparkFiles.get(name)


def _decode_all(contents, size, limits) -> tuple[list[np.ndarray], list[PhotoRefused | None]]:
    photos, refusals = [], []
    for content in contents:
        try:
            photos.append(decode_photo(content.as_buffer().to_pybytes(), size, limits))
            refusals.append(None)
        except PhotoRefused as refused:
            refusals.append(refused)
    return photos, refusals


def _result(part: pa.RecordBatch, features: np.ndarray, shape: list[int], refusals) -> pa.RecordBatch:
    kept = np.array([refused is None for refused in refusals])
    offsets = np.concatenate([[0], np.cumsum(kept * features.shape[1])]).astype("int32")
    feature = pa.ListArray.from_arrays(pa.array(offsets, mask=np.append(~kept, False)), pa.array(features.ravel()))
    columns = {
        "image_id": part.column("image_id"),
        "content_hash": part.column("content_hash"),
        "feature": feature,
        "feature_shape": pa.array([shape if keep else None for keep in kept], pa.list_(pa.int32())),
        "reason": pa.array([refused and refused.reason for refused in refusals], pa.string()),
        "details": pa.array([refused and refused.details for refused in refusals], pa.string()),
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def brief(error: Exception) -> str:
    """An error in at most 200 characters of one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
