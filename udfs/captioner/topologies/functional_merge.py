"""The merge model as version 0.1 saved it: a functional Keras model."""

from __future__ import annotations

from udfs.captioner.shape import CaptionerShape
from udfs.captioner.topologies.merge import Merge
from udfs.keras_setup import keras


def merge_of(model: keras.Model) -> Merge:
    """The same captioner as a `Merge`. Raises ValueError if the model has not its layers."""
    layer = model.get_layer
    embedding, lstm, names = layer("embedding"), layer("lstm"), {part.name for part in model.layers}
    merge = Merge(
        CaptionerShape(
            embedding.input_dim,
            tuple(model.inputs[1].shape[1:]),
            embedding.output_dim,
            lstm.units,
            layer("photo_dropout").rate,
            tie_embeddings="logits" not in names,
        )
    )
    merge.build()
    for part in merge.layers:
        part.set_weights(layer(part.name).get_weights())
    return merge
