"""Compares an evaluated population of photos and captions with the training population, in all respects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.schema import Bootstrap, External
from jobs.driver.validity.conclusions import draw_conclusions, farthest_group, missing_data
from jobs.driver.validity.distances import measure_distances
from jobs.driver.validity.near_duplicates import find_near_duplicates
from jobs.driver.validity.photo_groups import ScoredPhotos, score_groups
from jobs.driver.validity.population import Population, caption_lengths, named_objects, nouns, profile, token_table
from jobs.driver.validity.word_shift import missing_words, unseen_words, word_shift

KnownWords = Callable[[Iterable[str]], set[str]]
FARTHEST = 8  # photos that the report lists


def population_report(
    training: Population, evaluated: Population, known_words: KnownWords, settings: External, bootstrap: Bootstrap
) -> dict[str, Any]:
    """Compares two populations.

    Args:
        training: The training photos with their captions.
        evaluated: The evaluated photos, with captions if there are any.
        known_words: A function that returns those of some words which the captioner's vocabulary can express.
        settings: The section `external` of the configuration.
        bootstrap: The section `bootstrap` of the configuration.

    Returns:
        JSON values: `distances`, the `farthest` photos, `look_alikes` (near-duplicates), `captions` (None without captions),
        the conclusions (`verdict`) and missing training data (`gaps`); with captions also `words`, `unseen_words`,
        `missing_words`, `groups`, `training_objects` and `far_words`.
    """
    distances = measure_distances(training.features, evaluated.features, settings.seed)
    pairs = find_near_duplicates(training.hashes, evaluated.hashes, settings.same_bits)
    far = distances.photos.sort_values("distance", ascending=False).head(FARTHEST)
    report: dict[str, Any] = {
        "distances": distances.summary,
        "farthest": far.to_dict("records"),
        "look_alikes": pairs.to_dict("records"),
        "captions": None,
    }
    if evaluated.captions is not None:
        tokens = token_table(training.captions, evaluated.captions)
        objects = named_objects(evaluated.captions, nouns(tokens)).toPandas()
        photos = ScoredPhotos(evaluated.scored, distances.photos, set(pairs.image_id), objects)
        groups = score_groups(photos, settings, bootstrap)
        known = known_words(tokens.index)
        report |= _compare_words(training.captions, evaluated.captions, tokens, known, settings.words)
        report |= {
            "groups": groups,
            "training_objects": _training_objects(training.captions, groups),
            "far_words": _far_words(evaluated.captions, distances.photos, groups, settings.words),
        }
    return {**report, "verdict": draw_conclusions(report), "gaps": missing_data(report)}


def _compare_words(
    training: DataFrame, evaluated: DataFrame, tokens: pd.DataFrame, known: set[str], most: int
) -> dict[str, Any]:
    profiles = {
        name: profile(captions, caption_lengths(captions), tokens, side, known)
        for name, captions, side in (("training", training, "training"), ("evaluation", evaluated, "other"))
    }
    photos = {name: profiles[name]["photos"] for name in profiles}
    shift = word_shift(tokens, photos["training"], photos["evaluation"], most)
    return {
        "captions": profiles,
        "words": shift,
        "unseen_words": unseen_words(tokens),
        "missing_words": missing_words(shift, tokens, photos["training"]),
    }


def _training_objects(captions: DataFrame, groups: list[dict]) -> dict[str, int]:
    """The number of training photos of each object that has a group."""
    objects = [group["name"] for group in groups if group["kind"] == "object"]
    if not objects:
        return {}
    counts = named_objects(captions, objects).groupBy("token").count().collect()
    return {row.token: int(row["count"]) for row in counts}


def _far_words(captions: DataFrame, photos: pd.DataFrame, groups: list[dict], most: int) -> list[dict]:
    """The words that are more frequent in the captions of the farthest photos than in those of the others."""
    edge = (farthest_group(groups) or {}).get("from")
    if edge is None:
        return []
    distances = captions.sparkSession.createDataFrame(photos[["image_id", "distance"]])
    with_distance = captions.join(distances, "image_id")
    near, far = with_distance.where(F.col("distance") < edge), with_distance.where(F.col("distance") >= edge)
    near_photos, far_photos = int((photos.distance < edge).sum()), int((photos.distance >= edge).sum())
    return word_shift(token_table(near, far), near_photos, far_photos, most)["over_represented"]
