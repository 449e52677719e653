"""BLEU of groups of the evaluated photos: by distance to the training photos, by caption length, by object."""

from __future__ import annotations

from functools import partial

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.schema import Bootstrap, External
from jobs.driver.scoring.scores import bleu_row
from udfs.scoring.group_scores import SCHEMA, score_group
from udfs.scoring.populations import bin_of, quantile_edges

OBJECTS = 30  # the most frequent ones that are scored


def group_scores(
    scored: DataFrame,
    distances: pd.DataFrame,
    leaked: set[str],
    objects: pd.DataFrame,
    settings: External,
    bootstrap: Bootstrap,
) -> list[dict]:
    """Every group with its photos, BLEU-1, BLEU-4 and the interval of that; `kind` says what its photos have in common.

    distances: image_id, distance. leaked: photos with a look-alike in training. objects: image_id, token.
    """
    members, bounds = memberships(scored, distances, leaked, objects, settings)
    groups = scored.sparkSession.createDataFrame(members)
    rows = (
        scored.select("image_id", bleu_row().alias("counts"))
        .join(groups, "image_id")
        .select("kind", "name", "image_id", "counts")
    )
    work = partial(score_group, bootstrap.resamples, bootstrap.seed, bootstrap.confidence)
    found = rows.groupBy("kind", "name").applyInPandas(work, SCHEMA).toPandas()
    groups = [{**row, **bounds.get((row["kind"], row["name"]), {})} for row in found.to_dict("records")]
    return sorted(groups, key=_order)


def _order(group: dict) -> tuple:
    return group["kind"], group.get("from", -group["photos"]), group["name"]


def memberships(
    scored: DataFrame, distances: pd.DataFrame, leaked: set[str], objects: pd.DataFrame, settings: External
) -> tuple[pd.DataFrame, dict]:
    """image_id, kind, name of every photo in every of its groups; and {(kind, name): its bounds} of the bins."""
    words = F.aggregate("references", F.lit(0), lambda total, text: total + F.size(F.split(text, " ")))
    photos = scored.select("image_id", (words / F.size("references")).alias("length")).toPandas()
    photos = photos.merge(distances[["image_id", "distance"]], on="image_id")
    whole = photos[["image_id"]].assign(kind="all", name="all photos")
    clean = whole[~whole.image_id.isin(leaked)].assign(kind="clean", name="without look-alikes")
    parts, bounds = [whole, clean], {}
    for kind in ("distance", "length"):
        bins, found = _bins(photos, kind, settings.bins)
        parts.append(bins)
        bounds |= found
    if len(objects):
        objects = objects[objects.image_id.isin(photos.image_id)]
        frequent = objects.token.value_counts()
        frequent = frequent[frequent >= settings.min_photos].head(OBJECTS).index
        parts.append(objects[objects.token.isin(frequent)].rename(columns={"token": "name"}).assign(kind="object"))
    return pd.concat(parts, ignore_index=True)[["image_id", "kind", "name"]], bounds


def _bins(photos: pd.DataFrame, kind: str, bins: int) -> tuple[pd.DataFrame, dict]:
    values = photos[kind].to_numpy()
    edges = quantile_edges(values, bins)
    numbers = bin_of(values, edges)
    bounds = {}
    for number in range(len(edges) + 1):
        inside = values[numbers == number]
        if len(inside):
            bounds[kind, str(number + 1)] = {"from": float(inside.min()), "to": float(inside.max())}
    return photos[["image_id"]].assign(kind=kind, name=[str(number + 1) for number in numbers]), bounds
