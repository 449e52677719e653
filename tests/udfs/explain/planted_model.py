"""A model whose reasons are known: it predicts one word where the photo is red, and another where it is blue."""

from __future__ import annotations

import numpy as np

from udfs.captioner.shape import CaptionerShape
from udfs.captioner.topologies.base import Captioner
from udfs.explain.joined_model import JoinedModel
from udfs.explain.word_explanations import ExplainSettings
from udfs.keras_setup import keras

SIDE, VOCABULARY = 56, 8
RED_WORD, BLUE_WORD = 5, 6
CAPTION = np.array([RED_WORD, BLUE_WORD], "int32")
RED, BLUE = (slice(6, 18), slice(34, 46)), (slice(36, 48), slice(8, 20))  # rows and columns of the two squares
METHODS = ("grad_cam", "smooth_grad", "occlusion")  # of every captioner
SETTINGS = ExplainSettings(
    smooth_samples=10, smooth_noise=0.15, occlusion_patch=8, occlusion_stride=4, curve_steps=7, random_orders=8,
    batch_size=16, seed=0,
)  # fmt: skip


class Planted(Captioner):
    """Adds two channels, for red and for blue, to the logits of their words."""

    def __init__(self, shape: CaptionerShape, name: str = "captioner"):
        super().__init__(shape, name)
        self.words = keras.layers.Embedding(VOCABULARY, VOCABULARY, name="words")
        self.from_photo = keras.layers.Dense(VOCABULARY, use_bias=False, name="from_photo")

    def encode(self, photo, training=False):
        return (self.from_photo(photo),)

    def hidden(self, tokens, encoded, training=False):
        return self.words(tokens) + encoded[0][:, None, :]

    def logits(self, hidden):
        return hidden


class AttendingPlanted(Planted):
    """The same on feature maps: it attends to the red positions for the red word, and to the blue ones after that word."""

    def encode(self, photo, training=False):
        return super().encode(keras.ops.mean(photo, axis=(1, 2)))

    def word_maps(self, tokens, photo):
        after_red = keras.ops.cast(tokens == RED_WORD, photo.dtype)[:, :, None, None]
        return (1 - after_red) * photo[:, None, :, :, 0] + after_red * photo[:, None, :, :, 1]


def planted_photo() -> np.ndarray:
    photo = np.random.default_rng(3).uniform(80, 120, (SIDE, SIDE, 3)).astype("float32")
    photo[RED], photo[BLUE] = (250, 20, 20), (20, 20, 250)
    return photo


def planted_model(attending: bool = False) -> JoinedModel:
    """Two convolution channels, for red and for blue, averaged over positions; each raises its word's logit."""
    from keras import layers

    pixels = keras.Input((SIDE, SIDE, 3))
    maps = layers.Conv2D(2, 3, padding="same", activation="relu", name="colours")(pixels)
    network = keras.Model(pixels, maps if attending else layers.GlobalAveragePooling2D()(maps))
    kernel = np.zeros((3, 3, 3, 2), "float32")
    kernel[..., 0], kernel[..., 1] = np.array([1, -0.5, -0.5]) / 9, np.array([-0.5, -0.5, 1]) / 9
    network.get_layer("colours").set_weights([kernel, np.array([-0.25, -0.25], "float32")])

    kind = AttendingPlanted if attending else Planted
    captioner = kind(CaptionerShape(VOCABULARY, network.output_shape[1:]))
    captioner.build()
    weights = np.zeros((2, VOCABULARY), "float32")
    weights[0, RED_WORD] = weights[1, BLUE_WORD] = 80
    captioner.from_photo.set_weights([weights])
    captioner.words.set_weights([np.zeros((VOCABULARY, VOCABULARY), "float32")])
    return JoinedModel(network, lambda photos: photos / 255, captioner)
