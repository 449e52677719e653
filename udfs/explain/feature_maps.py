"""What an extractor has learned and what it sees in a photo: the filters of its first convolution, and feature maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from udfs.errors import InputError
from udfs.explain.overlays import FAINT, PAPER, shown, write

if TYPE_CHECKING:
    import keras

TILE, GAP, MARGIN, LABEL = 112, 6, 16, 150  # pixels
CHANNELS = 8  # feature maps shown of a layer
FILTERS = 64  # filters shown at most


def draw_filters(network: keras.Model, preprocess: Callable, name: str) -> Image.Image:
    """The filters of the first convolution as colours: grey is 0, each filter has a scale of its own. name: the network's.

    Only these look at colours; deeper filters have as many inputs as the layer before has channels.
    """
    layer = _first_convolution(network)
    kernels = np.asarray(layer.get_weights()[0], "float32")[:, :, _rgb_order(preprocess), :FILTERS]
    columns, side = min(16, kernels.shape[-1]), 48
    rows = -(-kernels.shape[-1] // columns)
    width = max(2 * MARGIN + columns * (side + GAP) - GAP, 560)
    canvas = Image.new("RGB", (width, 2 * MARGIN + 26 + rows * (side + GAP)), PAPER)
    size = "x".join(map(str, layer.get_weights()[0].shape[:2]))
    note = f"{name}, {layer.name}: {kernels.shape[-1]} filters of {size} pixels; grey is 0, an all-grey one is dead"
    write(canvas, (MARGIN, MARGIN), note, 14, FAINT)
    for number in range(kernels.shape[-1]):
        kernel = kernels[..., number]
        picture = 127.5 + 127.5 * kernel / (np.abs(kernel).max() or 1)
        tile = Image.fromarray(picture.astype("uint8")).resize((side, side), Image.NEAREST)
        row, column = divmod(number, columns)
        canvas.paste(tile, (MARGIN + column * (side + GAP), MARGIN + 26 + row * (side + GAP)))
    return canvas


def draw_feature_maps(maps: dict[str, np.ndarray], photo: np.ndarray, title: str) -> Image.Image:
    """A row a layer: the photo's maps of the channels that vary most over its positions, black to white in each map."""
    width = 2 * MARGIN + LABEL + CHANNELS * (TILE + GAP)
    canvas = Image.new("RGB", (width, 2 * MARGIN + (len(maps) + 1) * (TILE + GAP)), PAPER)
    picture = Image.fromarray(photo.clip(0, 255).astype("uint8"))
    canvas.paste(picture.resize((TILE, TILE), Image.LANCZOS), (MARGIN, MARGIN))
    note = f"The {CHANNELS} channels of each layer that vary most over the photo, each from its smallest to its largest value."
    below = write(canvas, (MARGIN + LABEL, MARGIN), shown(title, 90), 16)
    write(canvas, (MARGIN + LABEL, below), note, 13, FAINT, CHANNELS * (TILE + GAP))
    for row, (name, each) in enumerate(maps.items(), start=1):
        top = MARGIN + row * (TILE + GAP)
        below = write(canvas, (MARGIN, top), name, 14, width=LABEL - GAP)
        write(canvas, (MARGIN, below), " x ".join(map(str, each.shape)), 13, FAINT)
        for column, channel in enumerate(np.argsort(-each.std(axis=(0, 1)))[:CHANNELS]):
            values = each[..., channel]
            shade = 255 * (values - values.min()) / (np.ptp(values) or 1)
            tile = Image.fromarray(shade.astype("uint8")).resize((TILE, TILE), Image.NEAREST)
            canvas.paste(tile, (MARGIN + LABEL + column * (TILE + GAP), top))
    return canvas


def telling_maps(network: keras.Model, preprocess: Callable, photo: np.ndarray, most: int = 5) -> dict[str, np.ndarray]:
    """What a photo looks like to the last layer of each resolution, the finest first: {layer: (rows, columns, channels)}.

    That is what the network passes on before it looks more coarsely.
    """
    import keras

    last = {}
    for layer in network.layers[1:]:
        shape = getattr(layer.output, "shape", ())
        if (
            len(shape) == 4
            and (shape[1] or 0) > 1
            and not any(part in type(layer).__name__ for part in ("Pool", "Pad"))
        ):
            last[shape[1]] = layer
    layers = list(last.values())[-most:]
    shows = keras.Model(network.input, [layer.output for layer in layers])
    found = shows(preprocess(photo[None].copy()), training=False)
    return {layer.name: np.asarray(each[0], "float32") for layer, each in zip(layers, found, strict=True)}


def _first_convolution(network: keras.Model) -> keras.Layer:
    for layer in network.layers:
        weights = layer.get_weights()
        if weights and weights[0].ndim == 4 and weights[0].shape[2] == 3:
            return layer
    raise InputError(
        f"extractor.name: {network.name} has no convolution over colours, whose filters could be shown; "
        "explain a run that was trained on features of a convolutional network"
    )


def _rgb_order(preprocess: Callable) -> list[int]:
    """Where the network's input has red, green and blue; some networks were trained on BGR."""
    pixels = np.zeros((4, 1, 1, 3), "float32")
    pixels[[1, 2, 3], 0, 0, [0, 1, 2]] = 255
    seen = np.asarray(preprocess(pixels.copy()))[:, 0, 0]
    return [int(np.abs(each - seen[0]).argmax()) for each in seen[1:]]
