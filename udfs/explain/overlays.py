"""Draws maps as colours on a photo, colour bars and text."""

from __future__ import annotations

import io
import os
import unicodedata
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

PAPER, INK, FAINT = (255, 255, 255), (25, 25, 30), (110, 110, 118)
# Colours at equal distances: of maps from 0 to 1 (matplotlib's inferno without its black end), and from -1 to 1.
HEAT = ((66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))
SIGNED = ((5, 60, 190), (70, 140, 240), (255, 255, 255), (250, 100, 70), (190, 10, 20))
MAX_OPACITY = 0.8  # of a map's largest value, so that the photo shows through everywhere


def overlay(photo: np.ndarray, values: np.ndarray, colours: tuple[Colour, ...] = HEAT) -> Image.Image:
    """Draws a map on a photo; the opacity of a pixel is in proportion to the magnitude of its value.

    Args:
        photo: (height, width, 3) from 0 to 255.
        values: (height, width), from 0 to 1 with HEAT, from -1 to 1 with SIGNED.
        colours: HEAT or SIGNED.
    """
    pale = photo.mean(axis=-1, keepdims=True) * 0.7 + photo * 0.3  # so that the map has the only strong colours
    ink = _interpolate(values if colours is HEAT else (values + 1) / 2, colours)
    opacity = MAX_OPACITY * np.abs(values)[..., None]
    return Image.fromarray((pale * (1 - opacity) + ink * opacity).clip(0, 255).astype("uint8"))


def colour_bar(width: int, height: int, colours: tuple[Colour, ...] = HEAT) -> Image.Image:
    """Draws the colours that `overlay` gives a mid-grey photo, the smallest value on the left. Sizes in pixels."""
    low = 0 if colours is HEAT else -1
    values = np.tile(np.linspace(low, 1, width), (height, 1))
    return overlay(np.full((height, width, 3), 128.0), values, colours)


def scale_map(values: np.ndarray, percentile: float = 100) -> np.ndarray:
    """Divides a map by a percentile of its magnitudes and clips it to -1 and 1. Below 100, outliers change it little."""
    top = np.percentile(np.abs(values), percentile) or np.abs(values).max()
    return np.clip(values / top, -1, 1) if top > 0 else np.zeros_like(values)


def blur_map(values: np.ndarray, radius: float) -> np.ndarray:
    """Blurs a map by a Gaussian with a standard deviation of `radius` pixels."""
    if not radius:
        return values
    kernel = np.exp(-0.5 * (np.arange(-int(3 * radius), int(3 * radius) + 1) / radius) ** 2)
    for axis in (0, 1):
        values = np.apply_along_axis(np.convolve, axis, values, kernel / kernel.sum(), mode="same")
    return values


def draw_text(
    canvas: Image.Image, place: tuple[int, int], text: str, size: int, colour: Colour = INK, width: int | None = None
) -> int:
    """Draws text in lines.

    Args:
        canvas: The picture to draw on.
        place: (left, top) of the text, in pixels.
        text: The text.
        size: Font size, in pixels.
        colour: RGB.
        width: Where lines are broken, in pixels; None for one line.

    Returns:
        The top of the next line, in pixels.
    """
    draw, (left, top) = ImageDraw.Draw(canvas), place
    for line in _lines(text, size, width):
        draw.text((left, top), line, fill=colour, font=font(size))
        top += round(size * 1.3)
    return top


def visible_text(text: str, max_characters: int) -> str:
    """Returns untrusted text as one line of visible characters, shortened to `max_characters`."""
    plain = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    return plain if len(plain) <= max_characters else plain[: max_characters - 3] + "..."


def truncate_to_width(text: str, size: int, width: int) -> str:
    """Shortens text of a font size until it is at most `width` pixels wide."""
    while text and font(size).getlength(text) > width:
        text = text.removesuffix("...")[:-1].rstrip() + "..." if len(text) > 4 else ""
    return text


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Returns DejaVu Sans from matplotlib. It covers most alphabets and is the same on every machine."""
    import matplotlib

    return ImageFont.truetype(os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def encode_png(picture: Image.Image) -> bytes:
    """Returns a picture as the content of a PNG file."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _lines(text: str, size: int, width: int | None) -> list[str]:
    if width is None:
        return [text]
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font(size).getlength(longer) > width:
            lines.append(truncate_to_width(word, size, width))
        else:
            lines[-1] = truncate_to_width(longer, size, width)
    return lines


def _interpolate(shares: np.ndarray, colours: tuple[Colour, ...]) -> np.ndarray:
    positions = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(shares, positions, channel) for channel in np.array(colours, float).T], axis=-1)
