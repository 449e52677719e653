"""Tells whether captions name the facts of the drawn sample's scenes: colour, shape and side.

scores = score_facts(captions_of(workspace.table("predictions").read(), run, "test"))
assert scores.right >= 0.95, scores.wrong[:5]
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from udfs.vision.scenes import COLOURS, PLACES, SHAPES, Scene, compose_scene

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PHOTO_NAME = re.compile(r"scene_(\d+)\.jpg")
SHAPE_OF = {form: shape for shape in SHAPES for form in (shape, shape + "s", shape + "es")}


@dataclass(frozen=True)
class Facts:
    """Whether a caption names the facts of its scene.

    Attributes:
        colour: It names the colour of the scene's objects, once, and no other.
        shape: The same for the shape.
        side: It names the side on which they are; None if it names no side, as some of the sample's own captions.
    """

    colour: bool
    shape: bool
    side: bool | None

    @property
    def right(self) -> bool:
        """Whether colour and shape are right and no side is wrong."""
        return self.colour and self.shape and self.side is not False


@dataclass(frozen=True)
class FactScores:
    """The facts of many captions.

    Attributes:
        captions: The number of captions.
        colour, shape: The share of captions that name it rightly.
        side: The share that name it rightly of those that name a side; 0 if none does.
        side_named: The share of captions that name a side.
        right: The share of captions with nothing wrong.
        wrong: (image_id, caption, facts) of the others.
    """

    captions: int
    colour: float
    shape: float
    side: float
    side_named: float
    right: float
    wrong: list[tuple[str, str, Facts]]


def facts_of(scene: Scene, caption: str) -> Facts:
    """Compares a caption with its scene. It may have capitals and punctuation; other words than the facts do not matter."""
    words = re.findall(r"[a-z]+", caption.lower())
    colours = [word for word in words if word in COLOURS]
    shapes = [SHAPE_OF[word] for word in words if word in SHAPE_OF]
    sides = {word for word in words if word in PLACES}
    group = scene.group
    return Facts(colours == [group.colour], shapes == [group.shape], sides == {group.place} if sides else None)


def score_facts(captions: Iterable[tuple[str, str]], seed: int = 0) -> FactScores:
    """Compares captions with the scenes that their photos show.

    Args:
        captions: (image_id, caption) of photos of the drawn sample.
        seed: The setting `sample.seed` with which it was drawn.
    """
    judged = [(name, caption, facts_of(_scene_of(name, seed), caption)) for name, caption in captions]
    facts = [each for _, _, each in judged]
    if not facts:
        raise ValueError("no captions to compare with their scenes")
    sides = [each.side for each in facts if each.side is not None]
    return FactScores(
        captions=len(facts),
        colour=sum(each.colour for each in facts) / len(facts),
        shape=sum(each.shape for each in facts) / len(facts),
        side=sum(sides) / max(1, len(sides)),
        side_named=len(sides) / len(facts),
        right=sum(each.right for each in facts) / len(facts),
        wrong=[(name, caption, each) for name, caption, each in judged if not each.right],
    )


def captions_of(predictions: DataFrame, run: str, split: str) -> list[tuple[str, str]]:
    """The captions of a run for a split in the table `predictions`, as (image_id, caption)."""
    rows = predictions.where((predictions.run_id == run) & (predictions.split == split))
    return sorted((row.image_id, row.hypothesis) for row in rows.select("image_id", "hypothesis").collect())


def _scene_of(name: str, seed: int) -> Scene:
    match = PHOTO_NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name} is no photo of the drawn sample")
    return compose_scene(seed, int(match[1]))
