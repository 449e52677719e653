"""Where the weights of an extractor come from, and the hash that says which they are."""

from __future__ import annotations

import hashlib
import os
import re

import fsspec
import numpy as np

from udfs.errors import InputError
from udfs.vision.extractor import brief, find_network

RANDOM = re.compile(r"random:(\d{1,9})")


def find_weights(network: str, weights: str, scratch: str, key: str = "extractor.weights") -> tuple[str | None, str]:
    """The weights that `imagenet`, `random:SEED` or a file's path or URI means: (local file or None, their hash).

    What is not on this machine is brought into the folder `scratch`. Raises InputError, which names `key`, where there are
    none.
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
    """What stands for the hash of weights that nobody stored: the seed and the versions that draw them."""
    from importlib.metadata import version

    return f"random:{seed}:keras-{version('keras')}:tensorflow-{version('tensorflow')}"


def file_hash(path: str) -> str:
    """SHA-256 of a local file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def save_imagenet_weights(name: str, path: str, key: str) -> str:
    """Writes Keras's ImageNet weights of a network to a local file, downloading them if needed; returns their hash.

    The hash is that of the weights' values, so it does not depend on the file's format.
    Raises InputError where they cannot be had, with the way to give a file instead.
    """
    builder, _ = find_network(name)
    try:
        network = builder(weights="imagenet")
    except Exception as error:
        raise InputError(
            f"{key}: imagenet weights of {name} could not be downloaded ({brief(error)}); "
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
            f"{key}: {weights} cannot be read ({error}); give a weights file that is there, imagenet or random:SEED"
        ) from error
