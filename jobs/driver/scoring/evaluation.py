"""Captions a split with a trained run and scores the captions, unless the same was done before."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf import Settings
from jobs.driver.corpus.feature_tables import require_cells
from jobs.driver.job import Job
from jobs.driver.page import write_page
from jobs.driver.runs.snapshot import pinned
from jobs.driver.runs.stored_results import store_result, stored_result
from jobs.driver.runs.trained_run import TrainedRun
from jobs.driver.scoring.baselines import normalised, with_counts
from jobs.driver.scoring.generation import generate, search_of
from jobs.driver.scoring.scores import score_captions
from jobs.driver.tables.quarantine import quarantine
from udfs import files
from udfs.captioner.text import scored_text
from udfs.errors import InputError

SCORES = 2  # increase it with every change of what `score_captions` returns, so that stored scores are computed again
COLUMNS = [
    "run_id", "image_id", "split", "hypothesis", "references", "matches", "totals", "hypothesis_length", "reference_length",
]  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """The scores of a run's captions of a split.

    Attributes:
        version: Version of the table `predictions` with the captions.
        photos: Photos of the split that have captions.
        scored: Photos that were captioned and scored.
        quarantined: Photos that have no feature of the run's extractor.
        metrics: The scores, as `score_captions` returns them, and the URI of the run's page.
        versions: Versions of the tables `captions` and `features` that were read.
        is_new: False if it was stored by an earlier job.
    """

    version: int
    photos: int
    scored: int
    quarantined: int
    metrics: dict[str, Any]
    versions: dict[str, int]
    is_new: bool


@dataclass(frozen=True)
class SplitRows:
    """The rows that an evaluation reads: captions of all splits, features of the run's extractor, references of the split."""

    captions: DataFrame
    features: DataFrame
    references: DataFrame


def evaluate_run(job: Job, run: TrainedRun) -> Evaluation:
    """Captions the split `evaluate.split` and scores it, on the captions and features that belong to the job's run.

    Writes the table `predictions`, the evaluation's JSON file in the run's folder, and the run's page.

    Raises:
        InputError: If the split has no captions, or none of its photos has a feature of the run's extractor.
    """
    split = job.settings.evaluate.split
    captions, captions_version = pinned(job, "captions", "tokenize_captions")
    features, features_version = pinned(job, "features", "extract_features")
    versions = {"captions": captions_version, "features": features_version}
    made_from = evaluation_identity(job.settings, versions, run.extractor)
    uri = run.files.evaluation(split)
    stored = stored_result(uri, made_from)
    is_new = stored is None
    if stored is None:
        references = split_references(captions, split).persist(StorageLevel.MEMORY_AND_DISK)
        rows = SplitRows(
            captions, require_cells(features, "features").where(F.col("extractor") == run.extractor), references
        )
        stored = store_result(uri, made_from, _evaluate(job, run, rows, features_version))
    if is_new or not files.exists(run.files.page):
        write_page(job, run.id, split)
    return Evaluation(
        version=stored["version"],
        photos=stored["photos"],
        scored=stored["scored"],
        quarantined=stored["quarantined"],
        metrics=stored["metrics"],
        versions=versions,
        is_new=is_new,
    )


def evaluation_identity(settings: Settings, versions: dict[str, int], extractor: str) -> dict[str, Any]:
    """What a run's captions of a split and their scores follow from, besides the run's model."""
    return {
        **versions,
        "scores": SCORES,
        "split": settings.evaluate.split,
        "extractor": extractor,
        "decoding": asdict(search_of(settings)),
        "intervals": asdict(settings.bootstrap),
    }


def split_references(captions: DataFrame, split: str) -> DataFrame:
    """image_id and references (the normalised captions in order of caption_no) of each photo of a split."""
    in_order = F.array_sort(F.collect_list(F.struct("caption_no", normalised().alias("text"))))["text"]
    return captions.where(F.col("split") == split).groupBy("image_id").agg(in_order.alias("references"))


def _evaluate(job: Job, run: TrainedRun, rows: SplitRows, features_version: int) -> dict[str, Any]:
    split, photos = job.settings.evaluate.split, rows.references.count()
    if not photos:
        known = sorted(row.split for row in rows.captions.select("split").distinct().collect())
        raise InputError(
            f"evaluate.split: no captions of the split {split!r}, expected one of {', '.join(known)}; change it"
        )
    generated = generate(job, run, rows.features.join(rows.references.select("image_id"), "image_id"))
    hypotheses = generated.withColumn("hypothesis", scored_text(F.col("hypothesis")))
    scored = with_counts(hypotheses.join(rows.references, "image_id")).persist(StorageLevel.MEMORY_AND_DISK)
    count = scored.count()
    refused = quarantine(job, _refusals(rows.references, hypotheses, features_version))
    if not count:
        raise InputError(
            f"table features: no photo of the split {split!r} has a feature of {run.extractor}, which the run {run.id} "
            "was trained on; run jobs/extract_features.py with that extractor"
        )
    metrics = score_captions(scored, rows.captions, rows.features, job.settings.bootstrap)
    condition = {"run_id": run.id, "split": split}
    version = job.warehouse.table("predictions").replace(
        scored.withColumns({name: F.lit(value) for name, value in condition.items()}).select(COLUMNS),
        {},
        where=condition,
        partition_by=list(condition),
    )
    metrics["report"] = run.files.page
    return {"version": version, "photos": photos, "scored": count, "quarantined": refused, "metrics": metrics}


def _refusals(references: DataFrame, hypotheses: DataFrame, features_version: int) -> DataFrame:
    details = f"version {features_version} of the table features has no row of the run's extractor"
    return references.join(hypotheses, "image_id", "left_anti").select(
        F.lit("captions and features").alias("source"),
        F.col("image_id").alias("key"),
        F.lit("captions_without_features").alias("reason"),
        F.lit(details).alias("details"),
    )
