"""BLEU of groups of the evaluated photos: by distance from the training photos, by caption length, by object."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.schema import Bootstrap, External
from jobs.driver.scoring.scores import bleu_row
from udfs.scoring.group_scores import SCHEMA, score_group
from udfs.scoring.populations import bin_of, quantile_edges

OBJECTS = 30  # the most frequent ones are scored


@dataclass(frozen=True)
class ScoredPhotos:
    """Evaluated photos that were captioned, with what groups them.

    Attributes:
        scored: image_id, references and the columns that BLEU counts.
        distances: image_id and distance from the nearest training photo.
        near_duplicates: image_id of the photos with a near-duplicate in training.
        objects: image_id and token, a row for each object in a photo.
    """

    scored: DataFrame
    distances: pd.DataFrame
    near_duplicates: set[str]
    objects: pd.DataFrame


def score_groups(photos: ScoredPhotos, settings: External, bootstrap: Bootstrap) -> list[dict]:
    """Scores every group of photos.

    Returns:
        One dictionary for each group: kind (`all`, `clean`, `distance`, `length` or `object`), name, photos (their number),
        bleu1, bleu4, low and high (the interval of bleu4), and for bins `from` and `to`.
    """
    members, bounds = memberships(photos, settings)
    groups = photos.scored.sparkSession.createDataFrame(members)
    rows = (
        photos.scored.select("image_id", bleu_row().alias("counts"))
        .join(groups, "image_id")
        .select("kind", "name", "image_id", "counts")
    )
    work = partial(score_group, bootstrap.resamples, bootstrap.seed, bootstrap.confidence)
    scores = rows.groupBy("kind", "name").applyInPandas(work, SCHEMA).toPandas()
    with_bounds = [{**row, **bounds.get((row["kind"], row["name"]), {})} for row in scores.to_dict("records")]
    return sorted(with_bounds, key=_order)


def _order(group: dict) -> tuple:
    return group["kind"], group.get("from", -group["photos"]), group["name"]


def memberships(photos: ScoredPhotos, settings: External) -> tuple[pd.DataFrame, dict]:
    """Assigns photos to groups.

    Returns:
        A row for each photo and group (image_id, kind, name), and {(kind, name): {"from", "to"}} of the bins.
    """
    words = F.aggregate("references", F.lit(0), lambda total, text: total + F.size(F.split(text, " ")))
    rows = photos.scored.select("image_id", (words / F.size("references")).alias("length")).toPandas()
    rows = rows.merge(photos.distances[["image_id", "distance"]], on="image_id")
    all_photos = rows[["image_id"]].assign(kind="all", name="all photos")
    clean = all_photos[~all_photos.image_id.isin(photos.near_duplicates)]
    parts, bounds = [all_photos, clean.assign(kind="clean", name="without near-duplicates")], {}
    for kind in ("distance", "length"):
        bins, bin_bounds = _bins(rows, kind, settings.bins)
        parts.append(bins)
        bounds |= bin_bounds
    if len(photos.objects):
        objects = photos.objects[photos.objects.image_id.isin(rows.image_id)]
        frequent = objects.token.value_counts()
        frequent = frequent[frequent >= settings.min_photos].head(OBJECTS).index
        parts.append(objects[objects.token.isin(frequent)].rename(columns={"token": "name"}).assign(kind="object"))
    return pd.concat(parts, ignore_index=True)[["image_id", "kind", "name"]], bounds


def _bins(photos: pd.DataFrame, kind: str, bins: int) -> tuple[pd.DataFrame, dict]:
    """Groups of equal size by the column `kind`, named "1", "2", ... from the lowest values up, and their bounds."""
    values = photos[kind].to_numpy()
    edges = quantile_edges(values, bins)
    numbers = bin_of(values, edges)
    bounds = {}
    for number in range(len(edges) + 1):
        inside = values[numbers == number]
        if len(inside):
            bounds[kind, str(number + 1)] = {"from": float(inside.min()), "to": float(inside.max())}
    return photos[["image_id"]].assign(kind=kind, name=[str(number + 1) for number in numbers]), bounds
