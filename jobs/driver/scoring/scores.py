"""Scores a run's captions and those of its baselines for the same photos, with bootstrap intervals.

A first pass measures every caption of every system (n-gram counts for BLEU, and CIDEr-D); a second one sums the measurements
over the photos of each bootstrap sample.
"""

from __future__ import annotations

from functools import partial, reduce

import numpy as np
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.schema import Bootstrap
from jobs.driver.scoring.baselines import constant_captions, human_captions, nearest_captions, shuffled_captions
from udfs.scoring.bleu import LEGACY_WEIGHTS, ORDERS, UNIFORM, BleuCounts, bleu_scores
from udfs.scoring.bootstrap import interval, weighted_sums_by_system
from udfs.scoring.caption_counts import CIDER_UNITS, count_captions, count_units
from udfs.scoring.cider import count_documents

BLEU_NUMBERS = 2 * len(ORDERS) + 2  # numbers per caption that BLEU needs
NUMBERS = BLEU_NUMBERS + 2  # and CIDEr-D, and the number of captions
BASELINES = ("most_frequent_caption", "shuffled_photos", "nearest_photo", "human")


def score_captions(scored: DataFrame, captions: DataFrame, features: DataFrame, settings: Bootstrap) -> dict:
    """Scores captions and their baselines on the same photos.

    Args:
        scored: image_id, hypothesis and references, as normalised text.
        captions: The table `captions`, with all splits.
        features: The table `features`, with the rows of the run's extractor only.
        settings: The section `bootstrap` of the configuration.

    Returns:
        bleu1 to bleu4 and cider_d; their `intervals`; `legacy`, BLEU with boundary tokens counted as words; `baselines`, the
        scores of each of BASELINES (`human` only if photos have several references); and `tokenization`.
    """
    systems = {
        "captions": scored,
        "legacy": with_boundary_tokens(scored),
        "most_frequent_caption": constant_captions(scored, captions),
        "shuffled_photos": shuffled_captions(scored),
        "nearest_photo": nearest_captions(scored, captions, features),
        "human": human_captions(scored),
    }
    sums = bootstrap_sums(systems, scored, settings)
    figures = figures_of(sums["captions"])
    return {
        **first_of(figures),
        "intervals": {name: interval_of(values, settings.confidence) for name, values in figures.items()},
        "legacy": first_of(bleu_figures(sums["legacy"], LEGACY_WEIGHTS)),
        "baselines": {name: first_of(figures_of(sums[name][:1])) for name in BASELINES if name in sums},
        "tokenization": tokenization(scored),
    }


def tokenization(scored: DataFrame) -> dict[str, str | float]:
    """Tells what the n-grams of the scores consist of.

    Args:
        scored: Rows with `references`, as normalised text.

    Returns:
        `units`: "words", "characters" (of writing without spaces, as sacrebleu's tokenizers `zh` and `char` count it) or "words
        and characters"; and `characters`, their share of all units.
    """
    parts = scored.select("references").mapInPandas(count_units, "units bigint, characters bigint")
    sums = parts.agg(F.sum("units").alias("units"), F.sum("characters").alias("characters")).first()
    share = (sums.characters or 0) / (sums.units or 1)
    names = {0.0: "words", 1.0: "characters"}
    return {"units": names.get(share, "words and characters"), "characters": round(share, 4)}


def bleu_row() -> Column:
    """Returns the numbers that BLEU needs as one array column, from the columns of the table `predictions`."""
    return F.concat("matches", "totals", F.array("hypothesis_length", "reference_length"))


def with_boundary_tokens(scored: DataFrame) -> DataFrame:
    """Adds the boundary tokens that some published scores count as words to captions and references."""

    def bounded(text: Column) -> Column:
        return F.concat_ws(" ", F.lit("startseq"), text, F.lit("endseq"))

    return scored.select(
        "image_id",
        bounded(F.col("hypothesis")).alias("hypothesis"),
        F.transform("references", bounded).alias("references"),
    )


def bootstrap_sums(systems: dict[str, DataFrame], scored: DataFrame, settings: Bootstrap) -> dict[str, np.ndarray]:
    """Sums the measurements of each system over all photos and over each bootstrap sample.

    Args:
        systems: {name: rows of image_id, hypothesis and references}.
        scored: The photos' references, which decide CIDEr-D's document frequencies.
        settings: The section `bootstrap` of the configuration.

    Returns:
        {name: int64 (samples + 1, NUMBERS)}, with the sums over all photos first.
    """
    columns = ["image_id", "hypothesis", "references"]
    named = [rows.select(F.lit(name).alias("system"), *columns) for name, rows in systems.items()]
    rows = reduce(DataFrame.unionByName, named).repartition(scored.sparkSession.sparkContext.defaultParallelism)
    documents = scored.sparkSession.sparkContext.broadcast(document_counts(scored))
    measured = rows.mapInPandas(
        partial(count_captions, documents, scored.count()), "system string, image_id string, counts array<bigint>"
    ).persist(StorageLevel.MEMORY_AND_DISK)
    sums = measured.mapInPandas(
        partial(weighted_sums_by_system, settings.resamples, settings.seed),
        "system string, sample int, sums array<bigint>",
    )
    total = [F.sum(F.col("sums")[place]).alias(f"sum{place}") for place in range(NUMBERS)]
    totals = sums.groupBy("system", "sample").agg(*total).orderBy("system", "sample").toPandas()
    measured.unpersist()
    return {system: part.drop(columns=["system", "sample"]).to_numpy() for system, part in totals.groupby("system")}


def document_counts(scored: DataFrame) -> dict[str, int]:
    """Returns the number of photos whose references contain an n-gram, for n-grams of at least two photos."""
    parts = scored.select("references").mapInPandas(count_documents, "ngram string, photos bigint")
    counts = parts.groupBy("ngram").agg(F.sum("photos").alias("photos")).where("photos > 1").toPandas()
    return dict(zip(counts.ngram, counts.photos.astype(int), strict=True))


def figures_of(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Returns BLEU and CIDEr-D from the sums of `bootstrap_sums`: {name: float64 (samples + 1,)}."""
    cider = sums[:, -2] / np.maximum(sums[:, -1], 1) / CIDER_UNITS
    return {**bleu_figures(sums), "cider_d": cider}


def bleu_figures(sums: np.ndarray, weights: dict[int, tuple[float, ...]] = UNIFORM) -> dict[str, np.ndarray]:
    """Returns BLEU-1 to BLEU-4 from sums whose first BLEU_NUMBERS columns are `bleu_row`: {name: float64 (samples + 1,)}."""
    scores = [bleu_scores(BleuCounts.from_row(row), weights) for row in sums[:, :BLEU_NUMBERS]]
    return {name: np.array([score[name] for score in scores]) for name in scores[0]}


def first_of(figures: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns the scores on all photos, without the bootstrap samples."""
    return {name: float(values[0]) for name, values in figures.items()}


def interval_of(values: np.ndarray, confidence: float) -> dict[str, float]:
    """Returns the interval (`low`, `high`) of a score from its values on the bootstrap samples."""
    low, high = interval(values[1:], confidence)
    return {"low": round(low, 6), "high": round(high, 6)}
