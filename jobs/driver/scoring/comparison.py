"""Compares two captioners, or one with its baselines, on the same photos: figures of the photos and of bootstrap samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from conf.schema import Bootstrap
from jobs.driver.scoring.baselines import constant_captions, shuffled_captions, with_counts
from jobs.driver.scoring.scores import BLEU_NUMBERS, bleu_figures, bleu_row, interval_of
from udfs.errors import InputError
from udfs.scoring.bleu import ORDERS
from udfs.scoring.bootstrap import weighted_sums

FIGURES = (*(f"bleu{order}" for order in ORDERS), "repeated", "gain_over_shuffled")


@dataclass(frozen=True)
class Comparison:
    """Figures by system and name, each an array: first that of all photos, then one a bootstrap sample.

    A system's figures are BLEU-1..4; `repeated`, the share of photos whose caption another photo got too; and
    `gain_over_shuffled`, by how much its BLEU-4 exceeds that of its own captions given to other photos.
    """

    photos: int
    left_out: int
    figures: dict[str, dict[str, np.ndarray]]

    def difference(self, name: str, first: str, second: str) -> np.ndarray:
        return self.figures[second][name] - self.figures[first][name]


def compare_runs(predictions: DataFrame, runs: list[str], split: str, settings: Bootstrap) -> Comparison:
    """Compares runs on the photos of a split that all of them captioned, with the same references.

    Raises InputError where there are none.
    """
    rows = {run: predictions.where((F.col("run_id") == run) & (F.col("split") == split)) for run in runs}
    keys = [row.select("image_id", "references") for row in rows.values()]
    common = reduce(lambda left, right: left.join(right, ["image_id", "references"]), keys).select("image_id").persist()
    photos = common.count()
    if not photos:
        without = [run for run, row in rows.items() if row.isEmpty()] or runs
        raise InputError(
            f"compare.runs: {' and '.join(without)} cannot be compared on the split {split!r}, expected captions of the same "
            f"photos in the table predictions; run jobs/evaluate.py run.id={without[0]}"
        )
    most = max(row.count() for row in rows.values())
    systems = {run: row.join(common, "image_id") for run, row in rows.items()}
    columns = [column for name, system in systems.items() for column in _of_run(name, system)]
    samples = _samples(columns, settings)
    figures = {run: _figures(samples, run) for run in runs}
    return Comparison(photos, most - photos, figures)


def compare_with_baselines(
    predictions: DataFrame, captions: DataFrame, run: str, split: str, settings: Bootstrap
) -> Comparison:
    """Compares a run with captions that never look at the photo: the most frequent one, and those of other photos."""
    rows = predictions.where((F.col("run_id") == run) & (F.col("split") == split)).persist()
    constant = with_counts(constant_captions(rows, captions))
    columns = [*_of_run(run, rows), constant.select("image_id", bleu_row().alias("most_frequent_caption"))]
    samples = _samples(columns, settings)
    figures = {run: _figures(samples, run)}
    for name, column in (("most_frequent_caption", "most_frequent_caption"), ("shuffled_photos", f"{run}/shuffled")):
        figures[name] = bleu_figures(samples[column])
    return Comparison(rows.count(), 0, figures)


def with_interval(values: np.ndarray, confidence: float) -> dict[str, float]:
    """A figure and its bootstrap interval, for a JSON line."""
    return {"value": round(float(values[0]), 6), **interval_of(values, confidence)}


def comparison_report(comparison: Comparison, first: str, second: str, confidence: float) -> dict[str, dict]:
    """Every figure of two systems and of the second minus the first, each with its interval, for a JSON line.

    Args:
        comparison: The comparison of both systems.
        first: The name of the system that is subtracted.
        second: The name of the other one.
        confidence: Confidence level of the intervals.
    """
    differences = {}
    for name in FIGURES:
        values = comparison.difference(name, first, second)
        share = float((values[1:] > 0).mean())
        differences[name] = {**with_interval(values, confidence), "share_above_0": round(share, 4)}
    figures = {
        system: {name: with_interval(comparison.figures[system][name], confidence) for name in FIGURES}
        for system in (first, second)
    }
    return {"runs": figures, "difference": differences}


def _of_run(name: str, rows: DataFrame) -> list[DataFrame]:
    """image_id with an array of counts: for the run's captions, for the same shuffled, and whether each is repeated."""
    shuffled = (
        with_counts(shuffled_captions(rows))
        .groupBy("image_id")
        .agg(F.array(*[F.sum(bleu_row()[place]) for place in range(BLEU_NUMBERS)]).alias(f"{name}/shuffled"))
    )
    same = F.count("*").over(Window.partitionBy("hypothesis"))
    repeated = F.array((same > 1).cast("bigint"), F.lit(1).cast("bigint"))
    own = rows.select("image_id", bleu_row().alias(name), repeated.alias(f"{name}/repeated"))
    return [own, shuffled]


def _samples(parts: list[DataFrame], settings: Bootstrap) -> dict[str, np.ndarray]:
    """The sums of every array column over the photos of each sample: {column: int64 (samples + 1, its length)}."""
    rows = reduce(lambda left, right: left.join(right, "image_id"), parts)
    names = [name for name in rows.columns if name != "image_id"]
    lengths = {name: 2 if name.endswith("/repeated") else BLEU_NUMBERS for name in names}
    quoted = [F.col(f"`{name}`") for name in names]
    work = partial(weighted_sums, settings.resamples, settings.seed)
    mapped = rows.select("image_id", F.concat(*quoted).alias("counts")).mapInPandas(
        work, "sample int, sums array<bigint>"
    )
    total = [F.sum(F.col("sums")[place]).alias(f"sum{place}") for place in range(sum(lengths.values()))]
    found = mapped.groupBy("sample").agg(*total).orderBy("sample").toPandas().drop(columns="sample").to_numpy()
    ends = np.cumsum(list(lengths.values()))
    return dict(zip(names, np.split(found, ends[:-1], axis=1), strict=True))


def _figures(samples: dict[str, np.ndarray], run: str) -> dict[str, np.ndarray]:
    own, shuffled, repeated = (
        bleu_figures(samples[run]),
        bleu_figures(samples[f"{run}/shuffled"]),
        samples[f"{run}/repeated"],
    )
    return {
        **own,
        "repeated": repeated[:, 0] / np.maximum(repeated[:, 1], 1),
        "gain_over_shuffled": own["bleu4"] - shuffled["bleu4"],
    }
