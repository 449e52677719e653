"""Scores a run's captions and those of its baselines for the same photos, with bootstrap intervals.

A first pass measures every caption of every system (n-gram counts for BLEU, CIDEr-D and ROUGE-L); a second one sums the
measurements over the photos of each bootstrap sample.
"""

from __future__ import annotations

from functools import partial, reduce

import numpy as np
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.schema import Bootstrap
from jobs.driver.scoring.baselines import (
    constant_captions,
    human_captions,
    nearest_captions,
    shuffled_captions,
    training_texts,
)
from jobs.driver.scoring.variety import variety
from udfs.scoring.bleu import (
    LEGACY_WEIGHTS,
    ORDERS,
    UNIFORM,
    BleuCounts,
    bleu_scores,
    brevity_penalty,
    mean_precisions,
)
from udfs.scoring.bootstrap import interval, weighted_sums_by_system
from udfs.scoring.caption_counts import BLEU_NUMBERS, NUMBERS, UNITS, count_captions, count_units
from udfs.scoring.cider import count_documents

# The figures of `figures_of`.
FIGURES = (
    *(f"bleu{order}" for order in ORDERS), "cider_d", "rouge_l", "brevity_penalty",
    *(f"bleu{order}_without_penalty" for order in ORDERS), "mean_length",
)  # fmt: skip


def score_captions(scored: DataFrame, captions: DataFrame, features: DataFrame, settings: Bootstrap) -> dict:
    """Scores captions and their baselines on the same photos.

    Args:
        scored: image_id, hypothesis and references, as normalised text.
        captions: The table `captions`, with all splits.
        features: The table `features`, with the rows of the run's extractor only.
        settings: The section `bootstrap` of the configuration.

    Returns:
        The figures of FIGURES and their `intervals`; those of `variety`; `legacy`, BLEU with boundary tokens counted as
        words; `baselines`, the same figures of most_frequent_caption, shuffled_photos (without `variety`, because these are
        the run's captions), nearest_photo and human (only if photos have several references); and `tokenization`.
    """
    training = training_texts(captions).persist(StorageLevel.MEMORY_AND_DISK)
    systems = {
        "captions": scored,
        "legacy": with_boundary_tokens(scored),
        "most_frequent_caption": constant_captions(scored, training),
        "shuffled_photos": shuffled_captions(scored),
        "nearest_photo": nearest_captions(scored, training, features),
        "human": human_captions(scored),
    }
    measured = measure(systems, scored).persist(StorageLevel.MEMORY_AND_DISK)
    sums = bootstrap_sums(measured, settings)
    various = variety(measured.where(~F.col("system").isin("legacy", "shuffled_photos")), training)
    for rows in (measured, training):
        rows.unpersist()
    legacy = bleu_figures(sums["legacy"], LEGACY_WEIGHTS)
    scores = {
        name: {**with_intervals(figures_of(sums[name]), settings.confidence), **various.get(name, {})}
        for name in systems
        if name in sums and name != "legacy"
    }
    return {
        **scores.pop("captions"),
        "legacy": first_of(legacy),
        "baselines": scores,
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


def measure(systems: dict[str, DataFrame], references: DataFrame) -> DataFrame:
    """Measures the captions of systems; see `count_captions`.

    Args:
        systems: {name: rows of image_id, hypothesis and references}.
        references: The references of each photo, which decide CIDEr-D's document frequencies.

    Returns:
        system, image_id, hypothesis and counts, NUMBERS of each caption.
    """
    columns = ["image_id", "hypothesis", "references"]
    named = [rows.select(F.lit(name).alias("system"), *columns) for name, rows in systems.items()]
    context = references.sparkSession.sparkContext
    rows = reduce(DataFrame.unionByName, named).repartition(context.defaultParallelism)
    documents = context.broadcast(document_counts(references))
    return rows.mapInPandas(
        partial(count_captions, documents, references.count()),
        "system string, image_id string, hypothesis string, counts array<bigint>",
    )


def bootstrap_sums(measured: DataFrame, settings: Bootstrap) -> dict[str, np.ndarray]:
    """Sums the measurements of each system over all photos and over each bootstrap sample.

    Args:
        measured: The rows of `measure`.
        settings: The section `bootstrap` of the configuration.

    Returns:
        {system: int64 (samples + 1, NUMBERS)}, with the sums over all photos first.
    """
    sums = measured.select("system", "image_id", "counts").mapInPandas(
        partial(weighted_sums_by_system, settings.resamples, settings.seed),
        "system string, sample int, sums array<bigint>",
    )
    total = [F.sum(F.col("sums")[place]).alias(f"sum{place}") for place in range(NUMBERS)]
    totals = sums.groupBy("system", "sample").agg(*total).orderBy("system", "sample").toPandas()
    return {system: part.drop(columns=["system", "sample"]).to_numpy() for system, part in totals.groupby("system")}


def document_counts(scored: DataFrame) -> dict[str, int]:
    """Returns the number of photos whose references contain an n-gram, for n-grams of at least two photos."""
    parts = scored.select("references").mapInPandas(count_documents, "ngram string, photos bigint")
    counts = parts.groupBy("ngram").agg(F.sum("photos").alias("photos")).where("photos > 1").toPandas()
    return dict(zip(counts.ngram, counts.photos.astype(int), strict=True))


def figures_of(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the figures of FIGURES from sums whose first NUMBERS columns are those of `measure`: {name: float64 (rows,)}."""
    counts = [BleuCounts.from_row(row) for row in sums[:, :BLEU_NUMBERS]]
    cider, rouge, captions = sums[:, BLEU_NUMBERS:NUMBERS].T
    captions = np.maximum(captions, 1)
    precisions = [mean_precisions(row) for row in counts]
    return {
        **bleu_figures(sums),
        "cider_d": cider / captions / UNITS,
        "rouge_l": rouge / captions / UNITS,
        "brevity_penalty": np.array([brevity_penalty(row) for row in counts]),
        **{f"{name}_without_penalty": np.array([row[name] for row in precisions]) for name in precisions[0]},
        "mean_length": np.array([row.hypothesis_length for row in counts]) / captions,
    }


def bleu_figures(sums: np.ndarray, weights: dict[int, tuple[float, ...]] = UNIFORM) -> dict[str, np.ndarray]:
    """Returns BLEU-1 to BLEU-4 from sums whose first BLEU_NUMBERS columns are `bleu_row`: {name: float64 (rows,)}."""
    scores = [bleu_scores(BleuCounts.from_row(row), weights) for row in sums[:, :BLEU_NUMBERS]]
    return {name: np.array([score[name] for score in scores]) for name in scores[0]}


def first_of(figures: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns the scores on all photos, without the bootstrap samples."""
    return {name: float(values[0]) for name, values in figures.items()}


def with_intervals(figures: dict[str, np.ndarray], confidence: float) -> dict:
    """Returns the scores on all photos, and the `intervals` of all of them."""
    return {**first_of(figures), "intervals": {name: interval_of(figures[name], confidence) for name in figures}}


def interval_of(values: np.ndarray, confidence: float) -> dict[str, float]:
    """Returns the interval (`low`, `high`) of a score from its values on the bootstrap samples."""
    low, high = interval(values[1:], confidence)
    return {"low": round(low, 6), "high": round(high, 6)}
