"""The scenes of the drawn sample and their captions: coloured shapes on textured ground.

A scene depends only on its seed, index and split, so that a corpus can grow without changes to its earlier photos. Some
(colour, shape) pairs are held out: no training scene shows them, and every third scene of the other splits shows one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

VERSION = 1  # increase it with every change that alters a picture or a caption
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
HELD_OUT = (("red", "star"), ("yellow", "ring"), ("green", "triangle"), ("blue", "square"))
TRAINING_PAIRS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES if (colour, shape) not in HELD_OUT)

# The part of the picture that holds a group: left, top, right, bottom as shares of the side.
PLACES = {"left": (0, 0, 0.54, 1), "right": (0.46, 0, 1, 1), "above": (0, 0, 1, 0.54), "below": (0, 0.46, 1, 1)}
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
RELATIONS = {"left": "left of", "right": "right of", "above": "above", "below": "below"}
FILL = {"large": 0.98, "small": 0.6, "": 0.8}  # diameter as a share of the space for an object
SIZE_WORDS = {"large": ("large", "large", "big"), "small": ("small", "small", "little"), "": ("",)}
NUMBERS = {1: "a", 2: "two", 3: "three"}

# Few words besides those that describe the scene: the caption of another photo, or one for all, should score low.
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
    """What a photo shows: a ground of GROUNDS, and one group or two groups opposite each other."""

    seed: int
    index: int
    ground: str
    groups: tuple[Group, ...]

    def random(self, purpose: int) -> np.random.Generator:
        """Returns the scene's random numbers for a purpose: 1 captions, 2 picture."""
        return np.random.default_rng([self.seed, self.index, purpose])


def split_of(index: int) -> str:
    """Returns the split of a scene. Of the ten scenes from each multiple of ten on, one is dev and one is test."""
    turn = (index + index // 10 * 3) % 10
    return {3: "dev", 8: "test"}.get(turn, "train")


def compose_scene(seed: int, index: int, split: str) -> Scene:
    """Draws what a scene shows.

    Args:
        seed: Seed of the corpus.
        index: Number of the scene in the corpus.
        split: One of SPLITS; no training scene shows a pair of HELD_OUT.
    """
    rng = np.random.default_rng([seed, index])
    ground = _pick(rng, GROUNDS)
    held_out = split != "train" and index // 10 % 3 == 0
    colour, shape = _pick(rng, HELD_OUT if held_out else TRAINING_PAIRS)
    groups: tuple[Group, ...]
    arrangement = _pick(rng, ("one",) * 14 + ("several",) * 3 + ("pair",) * 3)
    if arrangement == "one":
        groups = (Group(1, _pick(rng, ("large", "large", "small")), colour, shape, _pick(rng, ("left", "right"))),)
    elif arrangement == "several":
        groups = (Group(_pick(rng, (2, 3)), "", colour, shape, _pick(rng, ("left", "right"))),)
    else:
        place = _pick(rng, tuple(PLACES))
        first = Group(_pick(rng, (1, 1, 2)), "", colour, shape, place)
        others = [pair for pair in TRAINING_PAIRS if pair[0] != colour and pair[1] != shape]
        other_colour, other_shape = _pick(rng, others)
        groups = (first, Group(1, "", other_colour, other_shape, OPPOSITE[place]))
    return Scene(seed, index, ground, groups)


def scene_captions(scene: Scene) -> list[str]:
    """Returns the CAPTIONS different captions of a scene."""
    rng = scene.random(1)
    templates = PAIR_TEMPLATES if len(scene.groups) == 2 else GROUP_TEMPLATES
    return [_caption(scene, templates[number], rng) for number in rng.permutation(len(templates))[:CAPTIONS]]


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
