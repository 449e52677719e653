"""Random weights from the output backwards, to test whether explanations depend on what the model has learned.

The cascading randomisation test of Adebayo et al. (2018), "Sanity checks for saliency maps".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from udfs.explain.joined_model import JoinedModel

if TYPE_CHECKING:
    from udfs.keras_setup import keras

# {stage: the share of the extractor's layers that is random}. The captioner, nearest to the output, is random in all stages.
STAGES = {"captioner": 0.0, "and_half_of_extractor": 0.5, "everything": 1.0}


@contextmanager
def randomised_weights(model: JoinedModel, extractor_share: float, seed: int = 0) -> Iterator[None]:
    """Replaces weights by initial ones inside a `with` block, and restores them at its end.

    Args:
        model: The model, which is changed in place.
        extractor_share: The share of the extractor's layers, counted from its output, that are randomised besides the
            captioner; from 0 to 1.
        seed: Seed of Keras's initialisers.
    """
    from udfs.keras_setup import keras

    weighted = [layer for layer in model.network.layers if layer.weights]
    last = weighted[len(weighted) - round(extractor_share * len(weighted)) :]
    parts = [model.captioner, *last]
    trained = [part.get_weights() for part in parts]
    keras.utils.set_random_seed(seed)
    try:
        for part in parts:
            part.set_weights(_reinitialised(part).get_weights())
        yield
    finally:
        for part, weights in zip(parts, trained, strict=True):
            part.set_weights(weights)


def _reinitialised(part: keras.Layer) -> keras.Layer:
    """A captioner or a layer of the same configuration, with the weights that its initialisers draw."""
    copy = type(part).from_config(part.get_config())
    copy.build_from_config(part.get_build_config())
    return copy
