"""Compares runs, or a run with its baselines, on the same photos, with the scores of bootstrap samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from conf.schema import Bootstrap
from jobs.driver.scoring import scores
from jobs.driver.scoring.baselines import (
    constant_captions,
    nearest_captions,
    shuffled_captions,
    training_texts,
    with_counts,
)
from jobs.driver.scoring.scores import bleu_figures, bleu_row, figures_of, interval_of, measure
from udfs.errors import InputError
from udfs.scoring.bootstrap import weighted_sums
from udfs.scoring.caption_counts import BLEU_NUMBERS, NUMBERS, UNITS

FIGURES = (*scores.FIGURES, "distinct_share", "gain_over_shuffled")


@dataclass(frozen=True)
class Comparison:
    """Scores of several systems on the same photos.

    Attributes:
        photos: Photos that were compared.
        left_out: Photos that not all systems captioned.
        figures: {system: {name: scores}}, each an array of shape (samples + 1,): the score on all photos, then on each
            bootstrap sample. Names are those of `scores.FIGURES`; `distinct_share`, distinct captions as a share of the
            photos; and `gain_over_shuffled`, by how much BLEU-4 exceeds that of the same captions shuffled among the
            photos. In a bootstrap sample each caption counts 1 / (number of all photos with it) as distinct. CIDEr-D has the
            document frequencies of the compared photos.
    """

    photos: int
    left_out: int
    figures: dict[str, dict[str, np.ndarray]]

    def difference(self, name: str, first: str, second: str) -> np.ndarray:
        """Returns the scores of the second system minus those of the first, on all photos and on each sample."""
        return self.figures[second][name] - self.figures[first][name]


def compare_runs(predictions: DataFrame, runs: list[str], split: str, settings: Bootstrap) -> Comparison:
    """Compares runs on the photos of a split that all of them captioned and that have the same references.

    Args:
        predictions: The table `predictions`.
        runs: Ids of the runs.
        split: The split.
        settings: The section `bootstrap` of the configuration.

    Raises:
        InputError: There are no such photos.
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
    columns = [*_measured(systems, systems[runs[0]]), *(_shuffled(name, rows) for name, rows in systems.items())]
    samples = _samples(columns, settings)
    return Comparison(photos, most - photos, {run: _figures(samples, run) for run in runs})


def compare_with_baselines(
    predictions: DataFrame, corpus: tuple[DataFrame, DataFrame], run: str, split: str, settings: Bootstrap
) -> Comparison:
    """Compares a run with baselines: the most frequent caption, the run's captions shuffled, the nearest photo's caption.

    Args:
        predictions: The table `predictions`.
        corpus: The table `captions`, and the rows of the table `features` of the run's extractor.
        run: The run's id.
        split: The split.
        settings: The section `bootstrap` of the configuration.
    """
    captions, features = corpus
    rows = predictions.where((F.col("run_id") == run) & (F.col("split") == split)).persist()
    training = training_texts(captions).persist()
    systems = {
        run: rows,
        "most_frequent_caption": constant_captions(rows, training),
        "nearest_photo": nearest_captions(rows, training, features),
    }
    samples = _samples([*_measured(systems, rows), _shuffled(run, rows)], settings)
    baselines = {name: figures_of(samples[name]) for name in systems if name != run}
    shuffled = bleu_figures(samples[f"{run}/shuffled"])
    figures = {run: _figures(samples, run), "shuffled_photos": shuffled, **baselines}
    return Comparison(rows.count(), 0, figures)


def with_interval(values: np.ndarray, confidence: float) -> dict[str, float]:
    """Returns a score (`value`) with its bootstrap interval (`low`, `high`), for a JSON line.

    Args:
        values: The score on all photos, then on each sample.
        confidence: Confidence level of the interval.
    """
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


def _measured(systems: dict[str, DataFrame], references: DataFrame) -> list[DataFrame]:
    """A table of image_id and a count array for each system: `measure`'s, and the share of a distinct caption in UNITS."""
    measured = measure(systems, references)
    occurrences = F.count("*").over(Window.partitionBy("system", "hypothesis"))
    share = F.round(F.lit(UNITS) / occurrences).cast("bigint")
    counted = measured.select("system", "image_id", F.concat("counts", F.array(share)).alias("counts")).persist()
    return [counted.where(F.col("system") == name).select("image_id", F.col("counts").alias(name)) for name in systems]


def _shuffled(name: str, rows: DataFrame) -> DataFrame:
    """A table of image_id and the sum of BLEU's count arrays over the shuffled captions of a run."""
    counted = with_counts(shuffled_captions(rows)).groupBy("image_id")
    return counted.agg(F.array(*[F.sum(bleu_row()[place]) for place in range(BLEU_NUMBERS)]).alias(f"{name}/shuffled"))


def _samples(parts: list[DataFrame], settings: Bootstrap) -> dict[str, np.ndarray]:
    """Sums every array column over the photos of each sample: {column: int64 (samples + 1, length of the array)}."""
    rows = reduce(lambda left, right: left.join(right, "image_id"), parts)
    names = [name for name in rows.columns if name != "image_id"]
    lengths = {name: BLEU_NUMBERS if name.endswith("/shuffled") else NUMBERS + 1 for name in names}
    quoted = [F.col(f"`{name}`") for name in names]
    work = partial(weighted_sums, settings.resamples, settings.seed)
    mapped = rows.select("image_id", F.concat(*quoted).alias("counts")).mapInPandas(
        work, "sample int, sums array<bigint>"
    )
    total = [F.sum(F.col("sums")[place]).alias(f"sum{place}") for place in range(sum(lengths.values()))]
    sums = mapped.groupBy("sample").agg(*total).orderBy("sample").toPandas().drop(columns="sample").to_numpy()
    ends = np.cumsum(list(lengths.values()))
    return dict(zip(names, np.split(sums, ends[:-1], axis=1), strict=True))


def _figures(samples: dict[str, np.ndarray], run: str) -> dict[str, np.ndarray]:
    figures, shuffled = figures_of(samples[run]), bleu_figures(samples[f"{run}/shuffled"])
    captions, distinct = samples[run][:, NUMBERS - 1], samples[run][:, NUMBERS]
    return {
        **figures,
        "distinct_share": distinct / np.maximum(captions, 1) / UNITS,
        "gain_over_shuffled": figures["bleu4"] - shuffled["bleu4"],
    }
