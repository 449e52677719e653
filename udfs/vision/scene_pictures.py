"""Draws the pictures of the drawn sample's scenes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from udfs.vision.scenes import COLOURS, FILL, PLACES, Group, Scene

# Without the rim, a randomly initialised network can hardly distinguish the shapes.
RIM, RIM_WIDTH = (12, 12, 16), 0.045  # the width is a share of the side


def draw_scene(scene: Scene, side: int) -> Image.Image:
    """Draws a scene as an RGB picture of side x side pixels."""
    rng = scene.random(2)
    dark, bright, texture = TEXTURES[scene.ground]
    mix = np.clip(texture(rng, side), 0, 1)[..., None]
    pixels = np.array(dark) * (1 - mix) + np.array(bright) * mix + rng.normal(0, 4, (side, side, 1))
    picture = Image.fromarray(pixels.clip(0, 255).astype("uint8"))
    group = scene.group
    colour = tuple(int(value) for value in np.clip(np.array(COLOURS[group.colour]) + rng.normal(0, 6, 3), 0, 255))
    for centre, radius in _positions(group, rng):
        turn = rng.uniform(-0.06, 0.06)
        shadow, _ = _masks(group.shape, centre + 0.1 * radius, radius, turn, side)
        shadow = shadow.filter(ImageFilter.GaussianBlur(0.08 * radius * side)).point(lambda value: value * 0.6)
        body, rim = _masks(group.shape, centre, radius, turn, side)
        for ink, mask in ((RIM, shadow), (colour, body), (RIM, rim)):
            picture.paste(ink, mask=mask)
    return picture


def _positions(group: Group, rng: np.random.Generator) -> list[tuple[np.ndarray, float]]:
    """(centre (x, y), radius) of each object as shares of the side; the group's place is divided along its longer side."""
    left, top, right, bottom = PLACES[group.place]
    space, step = np.array([right - left, bottom - top], "float"), np.zeros(2)
    longer = space.argmax()
    space[longer] /= group.count
    step[longer] = space[longer]
    radius = float(FILL[group.size] * space.min() / 2)
    slack = 0.2 * (space / 2 - radius)
    middles = [np.array([left, top]) + number * step + space / 2 for number in range(group.count)]
    return [(middle + rng.uniform(-1, 1, 2) * slack, radius) for middle in middles]


def _masks(shape: str, centre: np.ndarray, radius: float, turn: float, side: int) -> tuple[Image.Image, Image.Image]:
    """Masks of a shape and of its rim, as images of mode L; drawn larger and reduced, so that edges are smooth."""
    scale = max(1, min(4, 2048 // side))
    size = side * scale
    body, rim = Image.new("L", (size, size)), Image.new("L", (size, size))
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    for outline, value in OUTLINES[shape]:
        points = [tuple(point) for point in (centre + radius * outline @ rotation) * size]
        ImageDraw.Draw(body).polygon(points, fill=value)
        ImageDraw.Draw(rim).line(points + points[:2], fill=255, width=round(RIM_WIDTH * size), joint="curve")
    return body.reduce(scale), rim.reduce(scale)


def _corners(count: int, radii: tuple[float, ...] = (1.0,), first: float = -0.25) -> np.ndarray:
    """(count, 2) points around the origin, the first at `first` turns (-0.25 is the top)."""
    angles = 2 * np.pi * (np.arange(count) / count + first)
    return np.resize(radii, count)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


# Each shape as polygons of unit radius, which are filled (255) or cut out (0) in order.
_CROSS = [(-1, 1), (-1, 3), (1, 3), (1, 1), (3, 1), (3, -1), (1, -1), (1, -3), (-1, -3), (-1, -1), (-3, -1), (-3, 1)]
OUTLINES = {
    "circle": [(_corners(64), 255)],
    "square": [(_corners(4, first=0.125), 255)],
    "triangle": [(_corners(3), 255)],
    "star": [(_corners(10, (1.0, 0.42)), 255)],
    "cross": [(np.array(_CROSS) / 10**0.5, 255)],
    "ring": [(_corners(64), 255), (_corners(64, (0.55,)), 0)],
}


def _noise(rng: np.random.Generator, rows: int, columns: int, side: int) -> np.ndarray:
    """Smooth noise (side, side) with mean 0 and a standard deviation of about 1, resized from a grid of rows x columns."""
    grid = Image.fromarray(rng.normal(size=(rows, columns)).astype("float32"))
    return np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC))


def _grass(rng: np.random.Generator, side: int) -> np.ndarray:
    return 0.4 + 0.22 * _noise(rng, 14, 90, side) + 0.12 * _noise(rng, 40, 112, side)


def _sand(rng: np.random.Generator, side: int) -> np.ndarray:
    return 0.5 + 0.1 * _noise(rng, 5, 5, side) + 0.22 * _noise(rng, 112, 112, side)


def _water(rng: np.random.Generator, side: int) -> np.ndarray:
    rows = np.linspace(0, 2 * np.pi, side)[:, None]
    return 0.45 + 0.4 * np.sin(9 * rows + 1.3 * _noise(rng, 6, 5, side)) + 0.1 * _noise(rng, 60, 12, side)


def _bricks(rng: np.random.Generator, side: int) -> np.ndarray:
    rows, columns = np.mgrid[0:side, 0:side] / side
    row = (rows * 9).astype(int)
    along = columns * 4.5 + row % 2 * 0.5
    tint = rng.uniform(0, 0.3, (9, 6))[row, along.astype(int)]
    mortar = (rows * 9 % 1 < 0.14) | (along % 1 < 0.07)
    return np.where(mortar, 0.95, tint) + 0.04 * _noise(rng, 112, 112, side)


def _snow(rng: np.random.Generator, side: int) -> np.ndarray:
    return 0.65 + 0.25 * _noise(rng, 6, 4, side)


# The darkest and the brightest colour of each ground, and how they are mixed: (rng, side) -> the shares of the brightest
# colour, (side, side).
Texture = Callable[[np.random.Generator, int], np.ndarray]
TEXTURES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int], Texture]] = {
    "grass": ((57, 84, 35), (96, 121, 53), _grass),
    "sand": ((193, 162, 113), (221, 194, 147), _sand),
    "water": ((96, 152, 168), (139, 188, 198), _water),
    "bricks": ((136, 84, 67), (174, 144, 131), _bricks),
    "snow": ((217, 225, 238), (244, 246, 250), _snow),
}
