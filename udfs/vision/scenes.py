"""The drawn sample's scenes: coloured shapes on textured ground, as a picture and in the words of five captions.

A scene follows from its seed, index and split alone, so a corpus can grow without changing what it already holds.
Some (colour, shape) pairs are held out: no training scene shows one, every third scene of the other splits does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

VERSION = 1  # to be raised with every change that alters a picture or a caption
CAPTIONS = 5
SPLITS = ("train", "dev", "test")

COLOURS = {
    "red": (225, 25, 35),
    "yellow": (250, 225, 20),
    "green": (20, 205, 60),
    "blue": (25, 60, 230),
    "purple": (160, 35, 200),
    "white": (250, 250, 250),
}
# Without the rim, a randomly initialised network tells the shapes apart hardly better than chance.
RIM, RIM_WIDTH = (12, 12, 16), 0.022  # the width is a share of the side
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
HELD_OUT = (("red", "star"), ("yellow", "ring"), ("green", "triangle"), ("blue", "square"))
SEEN = tuple((colour, shape) for colour in COLOURS for shape in SHAPES if (colour, shape) not in HELD_OUT)

# The part of the picture that a group keeps to: left, top, right, bottom as shares of the side.
PLACES = {"left": (0, 0, 0.54, 1), "right": (0.46, 0, 1, 1), "above": (0, 0, 1, 0.54), "below": (0, 0.46, 1, 1)}
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
RELATIONS = {"left": "left of", "right": "right of", "above": "above", "below": "below"}
FILL = {"large": 0.98, "small": 0.6, "": 0.8}  # diameter as a share of the room that an object has
SIZE_WORDS = {"large": ("large", "large", "big"), "small": ("small", "small", "little"), "": ("",)}
NUMBERS = {1: "a", 2: "two", 3: "three"}

# Few words besides those that say what is shown: a caption of another photo, or one for all, should score low.
GROUP_TEMPLATES = (
    "{group} on {ground} at {place}",
    "{group} lying on {ground} at {place}",
    "{group} seen on {ground} at {place}",
    "{group} on {ground} on the {place} side",
    "there {verb} {group} on {ground}",
    "at {place} {group} on {ground}",
)
PAIR_TEMPLATES = (
    "{group} {relation} {other} on {ground}",
    "{group} lying {relation} {other} on {ground}",
    "{group} seen {relation} {other} on {ground}",
    "{other} {inverse} {group} on {ground}",
    "there {verb} {group} {relation} {other}",
    "on {ground} {group} {relation} {other}",
)


@dataclass(frozen=True)
class Group:
    """One to three equal objects; `place` is a key of PLACES, `size` one of FILL."""

    count: int
    size: str
    colour: str
    shape: str
    place: str


@dataclass(frozen=True)
class Scene:
    """What a photo shows: a ground and one group, or two groups that lie opposite each other."""

    seed: int
    index: int
    ground: str
    groups: tuple[Group, ...]

    def random(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.index, purpose])


def split_of(index: int) -> str:
    """The split of a scene. Of every ten scenes in a row from a multiple of ten, one is dev and one is test."""
    turn = (index + index // 10 * 3) % 10
    return {3: "dev", 8: "test"}.get(turn, "train")


def compose(seed: int, index: int, split: str) -> Scene:
    """Decides what scene `index` of the corpus `seed` shows; `split` decides whether held-out pairs may appear."""
    rng = np.random.default_rng([seed, index])
    ground = _pick(rng, tuple(GROUNDS))
    held_out = split != "train" and index // 10 % 3 == 0
    colour, shape = _pick(rng, HELD_OUT if held_out else SEEN)
    kind = _pick(rng, ("one",) * 14 + ("several",) * 3 + ("pair",) * 3)
    if kind == "one":
        groups = (Group(1, _pick(rng, ("large", "large", "small")), colour, shape, _pick(rng, ("left", "right"))),)
    elif kind == "several":
        groups = (Group(_pick(rng, (2, 3)), "", colour, shape, _pick(rng, ("left", "right"))),)
    else:
        place = _pick(rng, tuple(PLACES))
        others = [pair for pair in SEEN if pair[0] != colour and pair[1] != shape]
        groups = (
            Group(_pick(rng, (1, 1, 2)), "", colour, shape, place),
            Group(1, "", *_pick(rng, others), OPPOSITE[place]),
        )
    return Scene(seed, index, ground, groups)


def describe(scene: Scene) -> list[str]:
    """The five captions of a scene."""
    rng = scene.random(1)
    templates = PAIR_TEMPLATES if len(scene.groups) == 2 else GROUP_TEMPLATES
    return [_caption(scene, templates[number], rng) for number in rng.permutation(len(templates))[:CAPTIONS]]


def paint(scene: Scene, side: int) -> Image.Image:
    """The RGB picture of a scene, side x side pixels."""
    rng = scene.random(2)
    dark, bright, texture = GROUNDS[scene.ground]
    mix = np.clip(texture(rng, side), 0, 1)[..., None]
    pixels = np.array(dark) * (1 - mix) + np.array(bright) * mix + rng.normal(0, 4, (side, side, 1))
    picture = Image.fromarray(pixels.clip(0, 255).astype("uint8"))
    for group in scene.groups:
        colour = tuple(int(value) for value in np.clip(np.array(COLOURS[group.colour]) + rng.normal(0, 6, 3), 0, 255))
        for centre, radius in _spots(group, rng):
            turn = rng.uniform(-0.06, 0.06)
            shadow, _ = _masks(group.shape, centre + 0.1 * radius, radius, turn, side)
            shadow = shadow.filter(ImageFilter.GaussianBlur(0.08 * radius * side)).point(lambda value: value * 0.6)
            body, rim = _masks(group.shape, centre, radius, turn, side)
            for paint_colour, mask in ((RIM, shadow), (colour, body), (RIM, rim)):
                picture.paste(paint_colour, mask=mask)
    return picture


def _pick(rng: np.random.Generator, options: Sequence):
    return options[rng.integers(len(options))]


def _caption(scene: Scene, template: str, rng: np.random.Generator) -> str:
    first, last = scene.groups[0], scene.groups[-1]
    text = template.format(
        group=_phrase(first, rng),
        other=_phrase(last, rng),
        verb="is" if first.count == 1 else "are",
        ground=scene.ground,
        place=first.place,
        relation=RELATIONS[first.place],
        inverse=RELATIONS[last.place],
    )
    return text[0].upper() + text[1:] + _pick(rng, (" .", " .", " .", ""))


def _phrase(group: Group, rng: np.random.Generator) -> str:
    plural = "" if group.count == 1 else "es" if group.shape.endswith("s") else "s"
    words = (NUMBERS[group.count], _pick(rng, SIZE_WORDS[group.size]), group.colour, group.shape + plural)
    return " ".join(word for word in words if word)


def _spots(group: Group, rng: np.random.Generator) -> list[tuple[np.ndarray, float]]:
    """(centre (x, y), radius) of each object as shares of the side: the group's place divided along its longer axis."""
    left, top, right, bottom = PLACES[group.place]
    room, step = np.array([right - left, bottom - top], "float"), np.zeros(2)
    longer = room.argmax()
    room[longer] /= group.count
    step[longer] = room[longer]
    radius = float(FILL[group.size] * room.min() / 2)
    slack = 0.2 * (room / 2 - radius)
    middles = [np.array([left, top]) + number * step + room / 2 for number in range(group.count)]
    return [(middle + rng.uniform(-1, 1, 2) * slack, radius) for middle in middles]


def _masks(shape: str, centre: np.ndarray, radius: float, turn: float, side: int) -> tuple[Image.Image, Image.Image]:
    """Where a shape is and where its rim, as images of mode L; drawn larger and reduced, so that edges are smooth."""
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


# Each shape as polygons of unit radius to be filled (255) or cut out (0), in order.
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
    """(side, side) smooth noise of mean 0 and about unit spread, stretched from a grid of rows x columns."""
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


# Darkest and brightest colour, and how the two are mixed: (rng, side) -> (side, side) shares of the brightest.
Texture = Callable[[np.random.Generator, int], np.ndarray]
GROUNDS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int], Texture]] = {
    "grass": ((57, 84, 35), (96, 121, 53), _grass),
    "sand": ((193, 162, 113), (221, 194, 147), _sand),
    "water": ((96, 152, 168), (139, 188, 198), _water),
    "bricks": ((136, 84, 67), (174, 144, 131), _bricks),
    "snow": ((217, 225, 238), (244, 246, 250), _snow),
}
