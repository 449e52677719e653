"""Feature extractors: networks of `keras.applications`, cut at a layer, that turn photos into features."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING

from udfs.errors import InputError, one_line

if TYPE_CHECKING:
    from udfs.keras_setup import keras

# (layer, pooling) that features are usually taken from. Other networks use their last layer with positions, averaged.
DEFAULT_LAYERS = {
    "vgg16": ("fc2", "none"),
    "vgg19": ("fc2", "none"),
    "resnet50": ("avg_pool", "none"),
    "inception_v3": ("avg_pool", "none"),
    "xception": ("avg_pool", "none"),
    "mobilenet_v2": ("out_relu", "avg"),  # the name of the network's own pooling layer differs between processes
}


RESIZES = ("antialias", "nearest")
MIRRORED = ", mirrored"  # the end of a preprocessing
FIRST_PREPROCESSING = "keras.applications, RGB, nearest"  # the only one of version 0.1


@dataclass(frozen=True)
class Extractor:
    """What determines the features of a photo.

    Attributes:
        name: Name of the network in `keras.applications`, in lower case.
        layer: Name of the layer whose output is the feature.
        pooling: `avg` averages the output over its positions; `none` keeps it.
        precision: Keras's dtype policy of the network, such as `float32` or `mixed_bfloat16`.
        weights: Where the weights come from: `imagenet`, `random:SEED`, or the path or URI of a file.
        weights_hash: The hash that identifies the weights; see `udfs.vision.weights`.
        preprocessing: How photos become the network's input, as `preprocessing_of` words it.
    """

    name: str
    layer: str
    pooling: str
    precision: str
    weights: str
    weights_hash: str
    preprocessing: str = FIRST_PREPROCESSING

    def __post_init__(self) -> None:
        if self.resize not in RESIZES:
            raise ValueError(
                f"preprocessing: found {self.preprocessing!r}, expected one that ends with one of {RESIZES}"
            )

    @property
    def fingerprint(self) -> str:
        """Identifies the features. It depends on every attribute but `weights`, which `weights_hash` stands for."""
        parts = {key: value for key, value in asdict(self).items() if key != "weights"}
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
        return f"{self.name}-{self.layer}-{self.pooling}-{self.precision}-{digest}"

    @property
    def resize(self) -> str:
        """How photos are resized: `antialias` or `nearest`; see `udfs.vision.decode`."""
        return self.preprocessing.removesuffix(MIRRORED).rpartition(", ")[2]

    @property
    def is_mirrored(self) -> bool:
        """Whether photos are mirrored, left to right, before the network sees them."""
        return self.preprocessing.endswith(MIRRORED)

    @property
    def mirrored(self) -> Extractor:
        """The extractor of the same features of mirrored photos."""
        return self if self.is_mirrored else replace(self, preprocessing=self.preprocessing + MIRRORED)


def preprocessing_of(strict: bool, resize: str) -> str:
    """Describes how photos become the network's input.

    Args:
        strict: Whether only 8-bit RGB pictures are used. If not, other pictures are converted.
        resize: How photos are resized: `antialias` or `nearest`, the only one of earlier versions.
    """
    return f"keras.applications, {'RGB' if strict else 'converted to RGB'}, {resize}"


@dataclass(frozen=True)
class FeatureNetwork:
    """A compiled extractor.

    Attributes:
        predict: From RGB photos, uint8 (photos, height, width, 3), to their features, float32 (photos, *feature_shape).
        photo_size: (height, width) of the photos, in pixels.
        feature_shape: The shape of one photo's feature.
    """

    predict: Callable
    photo_size: tuple[int, int]
    feature_shape: list[int]


def resolve_network(name: str) -> tuple[Callable[..., keras.Model], ModuleType]:
    """Finds a network of `keras.applications` by name.

    Args:
        name: The name of the function that builds it, in any case and with or without underscores: vgg16, inception_v3,
            MobileNetV2, ...

    Returns:
        (the function that builds it, its module, which has `preprocess_input`).

    Raises:
        InputError: There is no such network; the message names the one with the most similar name.
    """
    from udfs.keras_setup import keras

    networks = {key.lower(): key for key, item in vars(keras.applications).items() if inspect.isfunction(item)}
    function = networks.get(name.replace("_", "").lower())
    if function is None:
        nearest = _nearest(name.lower(), list(networks))
        raise InputError(
            f"extractor.name: found {name!r}, expected a network of keras.applications; nearest: {nearest}"
        )
    builder = getattr(keras.applications, function)
    for module in (item for item in vars(keras.applications).values() if inspect.ismodule(item)):
        if getattr(module, function, None) is builder and hasattr(module, "preprocess_input"):
            return builder, module
    raise InputError(f"extractor.name: {function} has no preprocess_input; choose another network")


def default_layer(name: str) -> tuple[str, str]:
    """Returns the (layer, pooling) that a network's features are taken from if the configuration names no layer."""
    if name.lower() not in DEFAULT_LAYERS:
        builder, _ = resolve_network(name)
        layers = [layer for layer in builder(weights=None).layers if len(getattr(layer.output, "shape", ())) == 4]
        return layers[-1].name, "avg"
    return DEFAULT_LAYERS[name.lower()]


def build_network(extractor: Extractor, weights_file: str | None) -> tuple[keras.Model, tuple[int, int]]:
    """Builds the Keras model of an extractor.

    Args:
        extractor: Which features are computed.
        weights_file: Local path of the weights; None for random weights.

    Returns:
        (model from preprocessed photos to features, (height, width) of the photos).

    Raises:
        InputError: The network or its layer does not exist, or the weights belong to another network.
    """
    from udfs.keras_setup import keras

    builder, _ = resolve_network(extractor.name)
    keras.config.set_dtype_policy(extractor.precision)
    try:
        if extractor.weights.startswith("random:"):
            keras.utils.set_random_seed(int(extractor.weights.partition(":")[2]))
            network = builder(weights=None)
        else:
            network = builder(weights=weights_file)
    except (ValueError, OSError, KeyError) as error:
        raise InputError(
            f"extractor.weights: {extractor.weights} does not fit {extractor.name} ({one_line(error)}); "
            "give the weights of this network, including its classification layers"
        ) from error
    finally:
        keras.config.set_dtype_policy("float32")
    output = _feature_layer(network, extractor).output
    if extractor.pooling == "avg" and len(output.shape) == 4:
        output = keras.layers.GlobalAveragePooling2D(dtype="float32")(output)
    return keras.Model(network.input, output), tuple(network.input_shape[1:3])


def load_network(extractor: Extractor, weights_file: str | None) -> FeatureNetwork:
    """Builds an extractor and compiles it together with its preprocessing. Arguments and errors as in `build_network`."""
    import tensorflow as tf

    network, photo_size = build_network(extractor, weights_file)
    _, module = resolve_network(extractor.name)

    @tf.function(reduce_retracing=True)
    def predict(photos):
        pixels = module.preprocess_input(tf.cast(photos, tf.float32))
        return tf.cast(network(pixels, training=False), tf.float32)

    return FeatureNetwork(predict, photo_size, list(network.output_shape[1:]))


def _feature_layer(network: keras.Model, extractor: Extractor) -> keras.Layer:
    names = [layer.name for layer in network.layers]
    if extractor.layer not in names:
        raise InputError(
            f"extractor.layer: {extractor.name} has no layer {extractor.layer!r}; the nearest is "
            f"{_nearest(extractor.layer, names)!r}, and extractor.layer=default takes the usual one"
        )
    return network.get_layer(extractor.layer)


def _nearest(name: str, names: list[str]) -> str:
    return difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
