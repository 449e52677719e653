"""Captions a split with a trained model and scores it with BLEU-1..4 and CIDEr-D, beside what others earn on its photos.

Writes the captions with their n-gram counts to the table `predictions`, and the run's page, `report/index.html`.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf import Settings
from jobs.driver.job import Job, Outcome, run_job
from jobs.driver.page import page_uri, write_page
from jobs.driver.runs.champion import named_run, require_trained
from jobs.driver.runs.registry import read_json, write_json
from jobs.driver.runs.snapshot import pinned
from jobs.driver.scoring.baselines import normalised, with_counts
from jobs.driver.scoring.scores import score_captions
from jobs.driver.tables.quarantine import quarantine
from udfs import files
from udfs.captioner.beam_search import Search, caption_photos
from udfs.errors import InputError


def main(job: Job) -> Outcome:
    return evaluate_run(job, named_run(job, job.settings.run.id))


def evaluate_run(job: Job, run_id: str) -> Outcome:
    """Scores a run on the captions and features that belong to the job's run."""
    settings, split = job.settings, job.settings.evaluate.split
    folder = require_trained(settings, run_id)
    run = read_json(f"{folder}/run.json")
    captions, captions_version = pinned(job, "captions", "tokenize_captions")
    features, features_version = pinned(job, "features", "extract_features")
    versions = {"captions": captions_version, "features": features_version}
    made_from = identity(settings, versions, run["extractor"])
    last = read_json(f"{folder}/evaluate-{split}.json") or {}
    table = job.warehouse.table("predictions")
    if last.get("made_from") == made_from:
        if not files.exists(page_uri(folder)):
            write_page(job, run_id, split)
        return Outcome("predictions", run_id, last["version"], last["photos"], 0, last["scored"], last["quarantined"],
                       last["metrics"], versions)  # fmt: skip

    references = split_references(captions, split).persist(StorageLevel.MEMORY_AND_DISK)
    photos = references.count()
    if not photos:
        known = sorted(row.split for row in captions.select("split").distinct().collect())
        raise InputError(
            f"evaluate.split: no captions of the split {split!r}, expected one of {', '.join(known)}; change it"
        )
    features = features.where(F.col("extractor") == run["extractor"])
    hypotheses = generate(job, features.join(references.select("image_id"), "image_id"), folder).persist(
        StorageLevel.MEMORY_AND_DISK
    )
    scored = hypotheses.join(references, "image_id")
    scored = with_counts(scored).persist(StorageLevel.MEMORY_AND_DISK)
    written = scored.count()
    refused = quarantine(job, refusals(references, hypotheses, features_version))
    if not written:
        raise InputError(
            f"table features: no photo of the split {split!r} has a feature of {run['extractor']}, which the run {run_id} "
            "was trained on; run jobs/extract_features.py with that extractor"
        )
    metrics = score_captions(scored, captions, features, settings.bootstrap)
    rows = scored.withColumns({"run_id": F.lit(run_id), "split": F.lit(split)})
    version = table.replace(
        rows.select("run_id", "image_id", "split", "hypothesis", "references", "matches", "totals", "hypothesis_length",
                    "reference_length"),
        {}, where=f"run_id = '{run_id}' AND split = '{split}'", partition_by=["run_id", "split"],
    )  # fmt: skip
    kept = {"made_from": made_from, "version": version, "photos": photos, "scored": written, "quarantined": refused}
    metrics["report"] = page_uri(folder)
    write_json(f"{folder}/evaluate-{split}.json", {**kept, "metrics": metrics})
    write_page(job, run_id, split)
    return Outcome("predictions", run_id, version, photos, written, 0, refused, metrics, versions)


def identity(settings: Settings, versions: dict[str, int], extractor: str) -> dict:
    """What a run's captions of a split and their metrics follow from."""
    intervals = {key: getattr(settings.bootstrap, key) for key in ("resamples", "confidence", "seed")}
    return {
        **versions, "split": settings.evaluate.split, "extractor": extractor, "decoding": asdict(search_of(settings)),
        "intervals": intervals,
    }  # fmt: skip


def search_of(settings: Settings) -> Search:
    """How the configuration searches for captions."""
    chosen = settings.decoding
    return Search(chosen.beam_width, chosen.length_penalty, chosen.no_repeat_ngram_size)


def split_references(captions: DataFrame, split: str) -> DataFrame:
    """image_id and the normalised captions (`references`) of each photo of a split, in order of caption_no."""
    in_order = F.array_sort(F.collect_list(F.struct("caption_no", normalised().alias("text"))))["text"]
    return captions.where(F.col("split") == split).groupBy("image_id").agg(in_order.alias("references"))


def generate(job: Job, features: DataFrame, folder: str) -> DataFrame:
    """image_id and hypothesis of every row of features."""
    vocabulary = read_json(f"{folder}/vocabulary.json")
    job.spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", job.settings.decoding.batch_size)
    cores = int(job.spark.conf.get("spark.task.cpus", "1"))
    model = job.spark.sparkContext.broadcast(files.read_bytes(f"{folder}/model.keras"))
    search = search_of(job.settings)
    work = partial(caption_photos, model, vocabulary["tokens"], vocabulary["max_length"], search, cores)
    slots = job.spark.sparkContext.defaultParallelism
    rows = features.select("image_id", "feature").repartition(slots, "image_id")
    return rows.mapInArrow(work, "image_id string, hypothesis string")


def refusals(references: DataFrame, hypotheses: DataFrame, features_version: int) -> DataFrame:
    return references.join(hypotheses, "image_id", "left_anti").select(
        F.lit("captions and features").alias("source"),
        F.col("image_id").alias("key"),
        F.lit("captions_without_features").alias("reason"),
        F.lit(f"version {features_version} of the table features has no row of the run's extractor").alias("details"),
    )


if __name__ == "__main__":
    run_job(main, __doc__)
