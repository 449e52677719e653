"""Builds captioners and reads them from model files."""

from __future__ import annotations

import importlib
import os
import tempfile
from typing import TYPE_CHECKING

import numpy as np

from udfs.captioner.shape import CaptionerShape
from udfs.errors import InputError, one_line

if TYPE_CHECKING:
    from udfs.captioner.topologies.base import Captioner

TOPOLOGIES = {
    "merge": "udfs.captioner.topologies.merge:Merge",
    "attention": "udfs.captioner.topologies.attention:Attention",
    "transformer": "udfs.captioner.topologies.transformer:Transformer",
}


def topology_of(name: str) -> type[Captioner]:
    """The class of a topology.

    Args:
        name: A name in TOPOLOGIES, or `package.module:Class` for a subclass of `Captioner`. Only a configuration or a caller may
            give such a name, never a run's folder, because its module is imported.

    Raises:
        InputError: There is no such class.
    """
    from udfs.captioner.topologies.base import Captioner

    module, separator, attribute = TOPOLOGIES.get(name, name).partition(":")
    if not separator:
        raise InputError(
            f"model.topology: found {name!r}, expected {', '.join(TOPOLOGIES)} or package.module:Class; correct it"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"model.topology: cannot import {name}: {one_line(error)}; install its package on the driver and all executors"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Captioner)):
        raise InputError(
            f"model.topology: {name} is no subclass of udfs.captioner.topologies.base.Captioner; see docs/topologies.md"
        )
    return found


def build_captioner(shape: CaptionerShape, topology: str = "merge") -> Captioner:
    """A captioner with initial weights, in Keras's current dtype policy.

    Called with (tokens, photo) it returns logits, (batch, steps, vocabulary_size): tokens are int32 (batch, steps), padded with
    0, and photos are float (batch, *feature_shape). Step t depends on tokens 0..t.

    Raises:
        InputError: The topology does not exist or does not fit the features.
    """
    kind = topology_of(topology)
    if kind.needs == "map" and len(shape.feature_shape) < 2:
        raise InputError(
            f"model.topology: {topology} needs feature maps, but the features have the shape {list(shape.feature_shape)}; "
            "extract them with extractor.pooling=none and extractor.layer set to a convolution"
        )
    captioner = kind(shape)
    captioner.build()
    return captioner


def set_frequencies(captioner: Captioner, counts: tuple[int, ...]) -> None:
    """Sets the bias of the logits to the log of each word's share, so that training need not learn it.

    Args:
        captioner: The model.
        counts: Occurrences by token_id. One is added to each, so that no word is impossible.
    """
    smoothed = np.array(counts) + 1.0
    captioner.set_initial_bias(np.log(smoothed / smoothed.sum()))


def load_captioner(model: bytes, topology: str = "merge") -> Captioner:
    """The captioner in the bytes of a model.keras.

    Args:
        model: The bytes.
        topology: A topology that is accepted besides those in TOPOLOGIES.

    Raises:
        InputError: The file has code in it, which Keras's safe mode rejects, or is no captioner of an accepted topology.
    """
    from udfs.captioner.topologies.base import Captioner
    from udfs.captioner.topologies.functional_merge import merge_of
    from udfs.keras_setup import keras

    accepted = {kind.__name__: kind for kind in map(topology_of, [*TOPOLOGIES, topology])}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        with open(path, "wb") as stream:
            stream.write(model)
        try:
            captioner = keras.saving.load_model(path, custom_objects=accepted, compile=False, safe_mode=True)
            return captioner if isinstance(captioner, Captioner) else merge_of(captioner)
        except Exception as error:  # Keras raises many classes for files that it cannot load
            raise InputError(
                f"model.keras: {one_line(error, 400)}; expected a captioner that jobs/train.py wrote, without code in it, of a "
                f"topology among {', '.join(accepted)}; for another one set model.topology, if you trust it"
            ) from error
