"""Draws what an extractor has learned: the filters of its first convolution, and its feature maps of a photo."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from udfs.errors import InputError
from udfs.explain.overlays import FAINT, PAPER, draw_text, visible_text

if TYPE_CHECKING:
    from udfs.keras_setup import keras

TILE, GAP, MARGIN, LABEL = 112, 6, 16, 150  # pixels
CHANNELS = 8  # feature maps drawn of a layer
FILTERS = 64  # largest number of filters drawn
FILTER_SIDE, FILTER_COLUMNS = 48, 16  # pixels; filters in a row


def draw_filters(network: keras.Model, preprocess: Callable, name: str) -> Image.Image:
    """Draws the filters of the first convolution as colours. Grey is 0, and each filter has its own scale.

    Filters of deeper layers cannot be drawn so: they have as many inputs as the layer before has channels.

    Args:
        network: The extractor.
        preprocess: From pixels to the extractor's input.
        name: The extractor's name, for the caption.

    Raises:
        InputError: The network has no convolution of three channels.
    """
    layer = _first_convolution(network)
    kernels = np.asarray(layer.get_weights()[0], "float32")[:, :, _rgb_order(preprocess), :FILTERS]
    columns = min(FILTER_COLUMNS, kernels.shape[-1])
    rows = -(-kernels.shape[-1] // columns)
    width = max(2 * MARGIN + columns * (FILTER_SIDE + GAP) - GAP, 560)
    canvas = Image.new("RGB", (width, 2 * MARGIN + 26 + rows * (FILTER_SIDE + GAP)), PAPER)
    size = "x".join(map(str, kernels.shape[:2]))
    note = f"{name}, {layer.name}: {kernels.shape[-1]} filters of {size} pixels; grey is 0, an all-grey filter has no effect"
    draw_text(canvas, (MARGIN, MARGIN), note, 14, FAINT)
    for number in range(kernels.shape[-1]):
        kernel = kernels[..., number]
        picture = 127.5 + 127.5 * kernel / (np.abs(kernel).max() or 1)
        tile = Image.fromarray(picture.astype("uint8")).resize((FILTER_SIDE, FILTER_SIDE), Image.Resampling.NEAREST)
        row, column = divmod(number, columns)
        canvas.paste(tile, (MARGIN + column * (FILTER_SIDE + GAP), MARGIN + 26 + row * (FILTER_SIDE + GAP)))
    return canvas


def draw_feature_maps(maps: dict[str, np.ndarray], photo: np.ndarray, title: str) -> Image.Image:
    """Draws the channels of each layer that vary most over the photo, one layer per row.

    Args:
        maps: {layer name: feature maps (rows, columns, channels)}.
        photo: (height, width, 3) from 0 to 255.
        title: The photo's name.
    """
    width = 2 * MARGIN + LABEL + CHANNELS * (TILE + GAP)
    canvas = Image.new("RGB", (width, 2 * MARGIN + (len(maps) + 1) * (TILE + GAP)), PAPER)
    picture = Image.fromarray(photo.clip(0, 255).astype("uint8"))
    canvas.paste(picture.resize((TILE, TILE), Image.Resampling.LANCZOS), (MARGIN, MARGIN))
    note = f"The {CHANNELS} channels of each layer that vary most over the photo, each from its smallest to its largest value."
    below = draw_text(canvas, (MARGIN + LABEL, MARGIN), visible_text(title, 90), 16)
    draw_text(canvas, (MARGIN + LABEL, below), note, 13, FAINT, CHANNELS * (TILE + GAP))
    for row, (name, values) in enumerate(maps.items(), start=1):
        _draw_layer(canvas, MARGIN + row * (TILE + GAP), name, values)
    return canvas


def feature_maps_by_resolution(
    network: keras.Model, preprocess: Callable, photo: np.ndarray, max_layers: int = 5
) -> dict[str, np.ndarray]:
    """Computes the feature maps of the last layer of each resolution, which the layers of the next one receive.

    Args:
        network: The extractor.
        preprocess: From pixels to the extractor's input.
        photo: float32 (height, width, 3) from 0 to 255.
        max_layers: The largest number of layers; the coarsest ones are taken.

    Returns:
        {layer name: float32 (rows, columns, channels)}, the finest resolution first.
    """
    from udfs.keras_setup import keras

    last = {}
    for layer in network.layers[1:]:
        shape = getattr(layer.output, "shape", ())
        pools = any(part in type(layer).__name__ for part in ("Pool", "Pad"))
        if len(shape) == 4 and (shape[1] or 0) > 1 and not pools:
            last[shape[1]] = layer
    layers = list(last.values())[-max_layers:]
    to_maps = keras.Model(network.input, [layer.output for layer in layers])
    maps = to_maps(preprocess(photo[None].copy()), training=False)
    return {layer.name: np.asarray(values[0], "float32") for layer, values in zip(layers, maps, strict=True)}


def _draw_layer(canvas: Image.Image, top: int, name: str, maps: np.ndarray) -> None:
    below = draw_text(canvas, (MARGIN, top), name, 14, width=LABEL - GAP)
    draw_text(canvas, (MARGIN, below), " x ".join(map(str, maps.shape)), 13, FAINT)
    for column, channel in enumerate(np.argsort(-maps.std(axis=(0, 1)))[:CHANNELS]):
        values = maps[..., channel]
        shade = 255 * (values - values.min()) / (np.ptp(values) or 1)
        tile = Image.fromarray(shade.astype("uint8")).resize((TILE, TILE), Image.Resampling.NEAREST)
        canvas.paste(tile, (MARGIN + LABEL + column * (TILE + GAP), top))


def _first_convolution(network: keras.Model) -> keras.Layer:
    for layer in network.layers:
        weights = layer.get_weights()
        if weights and weights[0].ndim == 4 and weights[0].shape[2] == 3:
            return layer
    raise InputError(
        f"extractor.name: {network.name} has no convolution of three channels, expected one whose filters can be drawn; "
        "explain a run that was trained on features of a convolutional network"
    )


def _rgb_order(preprocess: Callable) -> list[int]:
    """The input channels that receive red, green and blue: some networks were trained on BGR."""
    pixels = np.zeros((4, 1, 1, 3), "float32")
    pixels[[1, 2, 3], 0, 0, [0, 1, 2]] = 255
    black, *colours = np.asarray(preprocess(pixels.copy()))[:, 0, 0]
    return [int(np.abs(colour - black).argmax()) for colour in colours]
