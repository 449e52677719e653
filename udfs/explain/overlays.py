"""Pictures of numbers: maps as colours on a photo, legends and text."""

from __future__ import annotations

import io
import os
import unicodedata
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAPER, INK, FAINT = (255, 255, 255), (25, 25, 30), (110, 110, 118)
# Colours at equal distances: for maps from 0 to 1 (matplotlib's inferno without its black end), and from -1 to 1.
HEAT = ((66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))
SIGNED = ((5, 60, 190), (70, 140, 240), (255, 255, 255), (250, 100, 70), (190, 10, 20))
STRONGEST = 0.8  # opacity of a map's largest value, so that the photo shows through everywhere


def overlay(photo: np.ndarray, values: np.ndarray, colours=HEAT) -> Image.Image:
    """A photo with a map on it: the larger a value, the less of the photo.

    photo: (height, width, 3) from 0 to 255. values: (height, width), from 0 to 1 with HEAT, from -1 to 1 with SIGNED.
    """
    grey = photo.mean(axis=-1, keepdims=True) * 0.7 + photo * 0.3  # the map's colours are to be the only strong ones
    ink = _interpolate(values if colours is HEAT else (values + 1) / 2, colours)
    opacity = STRONGEST * np.abs(values)[..., None]
    return Image.fromarray((grey * (1 - opacity) + ink * opacity).clip(0, 255).astype("uint8"))


def legend(width: int, height: int, colours=HEAT) -> Image.Image:
    """The colours of a map as `overlay` lays them on a mid-grey photo, the smallest value on the left."""
    low = 0 if colours is HEAT else -1
    values = np.tile(np.linspace(low, 1, width), (height, 1))
    return overlay(np.full((height, width, 3), 128.0), values, colours)


def scaled(values: np.ndarray, percentile: float = 100) -> np.ndarray:
    """A map divided by its largest magnitude, or by a percentile that outliers do not move, and clipped to -1 and 1."""
    top = np.percentile(np.abs(values), percentile) or np.abs(values).max()
    return np.clip(values / top, -1, 1) if top > 0 else np.zeros_like(values)


def blurred(values: np.ndarray, radius: float) -> np.ndarray:
    """A map blurred by a Gaussian whose standard deviation is so many pixels."""
    if not radius:
        return values
    kernel = np.exp(-0.5 * (np.arange(-int(3 * radius), int(3 * radius) + 1) / radius) ** 2)
    for axis in (0, 1):
        values = np.apply_along_axis(np.convolve, axis, values, kernel / kernel.sum(), mode="same")
    return values


def write(
    canvas: Image.Image, place: tuple[int, int], text: str, size: int, colour=INK, width: int | None = None
) -> int:
    """Writes lines of text from the left upper corner `place`, broken at `width` pixels; returns where the next line begins."""
    draw, (left, top) = ImageDraw.Draw(canvas), place
    for line in _lines(text, size, width):
        draw.text((left, top), line, fill=colour, font=font(size))
        top += round(size * 1.3)
    return top


def shown(text: str, most: int) -> str:
    """Untrusted text as one line of at most so many visible characters."""
    plain = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    return plain if len(plain) <= most else plain[: most - 3] + "..."


def fitting(text: str, size: int, width: int) -> str:
    """The text cut to a width in pixels."""
    while text and font(size).getlength(text) > width:
        text = text.removesuffix("...")[:-1].rstrip() + "..." if len(text) > 4 else ""
    return text


@lru_cache
def font(size: int):
    """DejaVu Sans, which matplotlib brings: it has the letters of most alphabets, and is the same on every machine."""
    import matplotlib

    return ImageFont.truetype(os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def png(picture: Image.Image) -> bytes:
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
            lines.append(fitting(word, size, width))
        else:
            lines[-1] = fitting(longer, size, width)
    return lines


def _interpolate(shares: np.ndarray, colours) -> np.ndarray:
    known = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(shares, known, channel) for channel in np.array(colours, float).T], axis=-1)
