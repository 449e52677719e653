"""Weights made random from the output down, to see whether explanations notice (Adebayo et al., 2018, "Sanity checks")."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from udfs.explain.joined_model import Sight

if TYPE_CHECKING:
    import keras

# The cascade: the captioner first, since it is nearest to the output, then so much of the extractor's depth.
STAGES = {"captioner": 0.0, "and_half_of_extractor": 0.5, "everything": 1.0}


@contextmanager
def randomised(sight: Sight, extractor_share: float, seed: int = 0) -> Iterator[None]:
    """Inside, the captioner's weights and those of the extractor's last layers, so large a share, are drawn anew.

    Each layer gets what its own initialisers give. The trained weights are put back at the end.
    """
    import keras

    weighted = [layer for layer in sight.network.layers if layer.weights]
    last = weighted[len(weighted) - round(extractor_share * len(weighted)) :]
    layers = [*sight.captioner.layers, *last]
    kept = [layer.get_weights() for layer in layers]
    keras.utils.set_random_seed(seed)
    try:
        for layer in layers:
            layer.set_weights(fresh(layer).get_weights())
        yield
    finally:
        for layer, weights in zip(layers, kept, strict=True):
            layer.set_weights(weights)


def fresh(layer: keras.Layer) -> keras.Layer:
    """A layer of the same configuration with initial weights."""
    copy = type(layer).from_config(layer.get_config())
    if layer.weights:
        copy.build_from_config(layer.get_build_config())
    return copy
