"""What every captioner is: a Keras model from tokens and photos to logits, in five steps that training and decoding use.

    encoded = captioner.encode(photo)                     once a photo
    hidden = captioner.hidden(tokens, encoded)            all steps of captions at once, for training
    state = captioner.start(encoded)                      before the first word of a caption
    hidden, state = captioner.step(token, state, encoded) one word more, for decoding
    logits = captioner.logits(hidden)                     of the next word

`docs/topologies.md` says how to write a topology of one's own. Import this module only where TensorFlow may be loaded.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np

from udfs.captioner.shape import CaptionerShape
from udfs.keras_setup import keras

Tensors = tuple[Any, ...]
"""Tensors with one row for each photo, or for each caption."""


class Captioner(keras.Model):
    """A topology. A subclass makes its layers in `__init__`, as attributes, and defines the five steps.

    Step t of `hidden` must depend on tokens 0..t only, and must equal the t-th `step`. Padding comes last in a caption.

    Attributes:
        needs: The feature that the topology expects: `any`, or `map` for (rows, columns, channels).
    """

    needs: ClassVar[str] = "any"

    def __init__(self, shape: CaptionerShape, name: str = "captioner"):
        # Photos are normalised before they are cast to bfloat16, which would lose what distinguishes them.
        super().__init__(name=name, autocast=False)
        self.shape = shape

    def encode(self, photo: Any, training: bool = False) -> Tensors:
        """What the topology keeps of photos (photos, *feature_shape)."""
        raise NotImplementedError

    def hidden(self, tokens: Any, encoded: Tensors, training: bool = False) -> Any:
        """The hidden states (captions, steps, units) after each of the tokens, int32 (captions, steps)."""
        raise NotImplementedError

    def start(self, encoded: Tensors) -> Tensors:
        """The state before the first token of each caption."""
        raise NotImplementedError

    def step(self, token: Any, state: Tensors, encoded: Tensors) -> tuple[Any, Tensors]:
        """The hidden state (captions, units) after one more token, int32 (captions,), and the new state."""
        raise NotImplementedError

    def logits(self, hidden: Any) -> Any:
        """The logits of the next word, (..., vocabulary_size)."""
        raise NotImplementedError

    def set_initial_bias(self, bias: Any) -> None:
        """Sets the initial bias of the logits, (vocabulary_size,)."""
        raise NotImplementedError

    def word_maps(self, tokens: Any, photo: Any) -> Any | None:
        """Where the topology itself attends in the photo for each word, which explanations show beside saliency maps.

        Args:
            tokens: int32 (captions, steps).
            photo: A photo for each caption, (captions, *feature_shape).

        Returns:
            Weights from 0 on, (captions, steps, rows, columns): those of step t belong to the word that follows token t. The
            grid covers the photo, row 0 at its top. None if the topology has no such weights.
        """
        return None

    def call(self, inputs: Tensors, training: bool = False) -> Any:
        """The logits (captions, steps, vocabulary_size) of (tokens, a photo for each caption)."""
        tokens, photo = inputs
        return self.logits(self.hidden(tokens, self.encode(photo, training), training))

    def build(self, input_shape: Any = None) -> None:
        """Creates the weights, by a call with one photo and two tokens."""
        self.call((np.zeros((1, 2), "int32"), self.shape.no_photo()))

    def normalised(self, photo: Any) -> Any:
        """Photos with the shape's normalisation, in the dtype of the layers' computations."""
        import tensorflow as tf

        photo = tf.cast(photo, self.variable_dtype)
        if normalisation := self.shape.normalisation:
            mean, deviation = (tf.constant(part, photo.dtype) for part in (normalisation.mean, normalisation.deviation))
            photo = (photo - mean) / deviation
        return tf.cast(photo, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {"shape": asdict(self.shape), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Captioner:
        return cls(CaptionerShape(**config["shape"]), config["name"])
