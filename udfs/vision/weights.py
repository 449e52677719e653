"""Finds the weights of a feature extractor, and identifies them by a hash."""

from __future__ import annotations

import hashlib
import os
import re

import fsspec
import numpy as np

from udfs.errors import InputError, one_line
from udfs.vision.extractor import resolve_network

RANDOM = re.compile(r"random:(\d{1,9})")


def resolve_weights(network: str, weights: str, scratch: str, key: str = "extractor.weights") -> tuple[str | None, str]:
    """Returns the weights that a configuration value stands for, as a local file.

    Args:
        network: Name of the network in `keras.applications`.
        weights: `imagenet`, `random:SEED`, or the path or URI of a weights file (*.h5 or *.keras).
        scratch: A local folder for weights that must be downloaded or copied to this machine.
        key: The configuration key that error messages name.

    Returns:
        (path of the local file, or None for random weights; the hash that identifies the weights).

    Raises:
        InputError: There are no such weights.
    """
    if match := RANDOM.fullmatch(weights):
        return None, random_weights_hash(int(match[1]))
    if weights == "imagenet":
        path = os.path.join(scratch, f"{network.lower()}.weights.h5")
        return path, save_imagenet_weights(network, path, key)
    if not weights.endswith((".h5", ".keras")):
        raise InputError(f"{key}: found {weights!r}, expected imagenet, random:SEED or a file *.h5; change it")
    path = _local_copy(weights, scratch, key)
    return path, file_hash(path)


def random_weights_hash(seed: int) -> str:
    """Identifies random weights: by their seed and the versions of the libraries that draw them."""
    from importlib.metadata import version

    return f"random:{seed}:keras-{version('keras')}:tensorflow-{version('tensorflow')}"


def file_hash(path: str) -> str:
    """Returns the SHA-256 of a local file, in hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def save_imagenet_weights(name: str, path: str, key: str) -> str:
    """Writes the ImageNet weights of a network of Keras to a local file. Keras downloads them if they are not cached.

    Args:
        name: Name of the network in `keras.applications`.
        path: The local file to write.
        key: The configuration key that error messages name.

    Returns:
        The SHA-256 of the weights' values, which does not depend on the file's format.

    Raises:
        InputError: The weights could not be downloaded.
    """
    builder, _ = resolve_network(name)
    try:
        network = builder(weights="imagenet")
    except Exception as error:
        raise InputError(
            f"{key}: imagenet weights of {name} could not be downloaded ({one_line(error)}); "
            f"give a file with {key}=PATH, or random weights with {key}=random:0"
        ) from error
    network.save_weights(path)
    digest = hashlib.sha256()
    for array in network.get_weights():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _local_copy(weights: str, scratch: str, key: str) -> str:
    try:
        source = fsspec.open(weights, "rb")
        if "file" in source.fs.protocol and os.path.isfile(source.path):
            return source.path
        path = os.path.join(scratch, os.path.basename(weights))
        source.fs.get(source.path, path)
        return path
    except (OSError, ValueError, ImportError) as error:
        raise InputError(
            f"{key}: {weights} cannot be read ({error}); give a weights file that exists, imagenet or random:SEED"
        ) from error
