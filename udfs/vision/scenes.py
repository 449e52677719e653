"""The scenes of the drawn sample and their captions: coloured shapes on textured ground.

A scene depends only on its seed and index, so that a corpus can grow without changes to its earlier photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

VERSION = 2  # increase it with every change that alters a picture or a caption
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
GROUNDS = ("grass", "sand", "water", "bricks", "snow")
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")

# The part of the picture that holds the objects: left, top, right, bottom as shares of the side.
PLACES = {"left": (0, 0, 0.54, 1), "right": (0.46, 0, 1, 1)}
FILL = {"large": 0.98, "small": 0.7, "": 0.95}  # diameter as a share of the space for an object
SIZE_WORDS = {"large": ("large", "large", "big"), "small": ("small", "small", "little"), "": ("",)}
NUMBERS = {1: "a", 2: "two", 3: "three"}

# Few words besides those that describe the scene: the caption of another photo, or one for all, should score low.
TEMPLATES = (
    "{group} on {ground} at {place}",
    "{group} lying on {ground} at {place}",
    "{group} seen on {ground} at {place}",
    "{group} on {ground} on the {place} side",
    "there {verb} {group} on {ground}",
    "at {place} {group} on {ground}",
)


@dataclass(frozen=True)
class Group:
    """One to three equal objects.

    Attributes:
        count: The number of objects.
        size: A key of FILL.
        colour: A key of COLOURS.
        shape: One of SHAPES.
        place: A key of PLACES.
    """

    count: int
    size: str
    colour: str
    shape: str
    place: str


@dataclass(frozen=True)
class Scene:
    """What a photo shows: a ground of GROUNDS, and a group of objects on it."""

    seed: int
    index: int
    ground: str
    group: Group

    def random(self, purpose: int) -> np.random.Generator:
        """Returns the scene's random numbers for a purpose: 1 captions, 2 picture."""
        return np.random.default_rng([self.seed, self.index, purpose])


def split_of(index: int) -> str:
    """Returns the split of a scene. Of the ten scenes from each multiple of ten on, one is dev and one is test."""
    turn = (index + index // 10 * 3) % 10
    return {3: "dev", 8: "test"}.get(turn, "train")


def compose_scene(seed: int, index: int) -> Scene:
    """Draws what a scene shows.

    Args:
        seed: Seed of the corpus.
        index: Number of the scene in the corpus.
    """
    rng = np.random.default_rng([seed, index])
    ground, colour, shape = _pick(rng, GROUNDS), _pick(rng, tuple(COLOURS)), _pick(rng, SHAPES)
    count = _pick(rng, (1, 1, 1, 1, 1, 1, 1, 1, 2, 3))
    size = _pick(rng, ("large", "large", "small")) if count == 1 else ""
    return Scene(seed, index, ground, Group(count, size, colour, shape, _pick(rng, tuple(PLACES))))


def scene_captions(scene: Scene) -> list[str]:
    """Returns the CAPTIONS different captions of a scene."""
    rng = scene.random(1)
    return [_caption(scene, TEMPLATES[number], rng) for number in rng.permutation(len(TEMPLATES))[:CAPTIONS]]


def _pick(rng: np.random.Generator, options: Sequence):
    return options[rng.integers(len(options))]


def _caption(scene: Scene, template: str, rng: np.random.Generator) -> str:
    text = template.format(
        group=_phrase(scene.group, rng),
        verb="is" if scene.group.count == 1 else "are",
        ground=scene.ground,
        place=scene.group.place,
    )
    return text[0].upper() + text[1:] + _pick(rng, (" .", " .", " .", ""))


def _phrase(group: Group, rng: np.random.Generator) -> str:
    plural = "" if group.count == 1 else "es" if group.shape.endswith("s") else "s"
    words = (NUMBERS[group.count], _pick(rng, SIZE_WORDS[group.size]), group.colour, group.shape + plural)
    return " ".join(word for word in words if word)
