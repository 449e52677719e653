"""Compares the evaluated photos and captions with those of training, to find out how far the scores can be generalised.

The population is the split `evaluate.split` of the corpus, which jobs/evaluate.py must have captioned, or a second corpus, whose
photos are extracted and captioned here. Writes `external/POPULATION.json` into the run's folder, and the run's page again.

Keys:
    run.id: the run; auto or latest: the one that finished training last; champion; or an id.
    evaluate.split: the split that is compared with the split `train`.
    external.root: the second corpus; none: the split is compared.
    external.bins, external.min_photos, external.words: groups of photos that are scored, and words that are listed.
    external.same_bits: the threshold for near duplicates of training photos.
    external.seed, bootstrap.*: random choices and confidence intervals.
    extractor.*: the run's extractor; only a second corpus needs it.
    decoding.*: how captions of a second corpus are searched for.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import asdict, replace
from functools import reduce
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.command import Outcome, run_job
from jobs.driver.corpus.captions import accept_or_refuse
from jobs.driver.corpus.configured_extractor import resolve_extractor, ship_weights
from jobs.driver.corpus.feature_tables import require_cells
from jobs.driver.corpus.inspection import log_files
from jobs.driver.corpus.layouts import NoCaptions, at_root, find_corpus, find_photos
from jobs.driver.corpus.photo_features import open_photo_folder, update_features
from jobs.driver.job import Job
from jobs.driver.page import write_page
from jobs.driver.runs.registry import read_json
from jobs.driver.runs.snapshot import pinned
from jobs.driver.runs.stored_results import store_result, stored_result
from jobs.driver.runs.trained_run import TrainedRun, chosen_run
from jobs.driver.scoring.baselines import with_counts
from jobs.driver.scoring.evaluation import split_references
from jobs.driver.scoring.generation import generate
from jobs.driver.validity.near_duplicates import photo_hashes
from jobs.driver.validity.population import Population
from jobs.driver.validity.population_report import population_report
from udfs.captioner.text import scored_text, words
from udfs.errors import InputError
from udfs.vision.features import COLUMNS

KEPT = StorageLevel.MEMORY_AND_DISK


def main(job: Job) -> Outcome:
    run = chosen_run(job)
    captions, captions_version = pinned(job, "captions", "tokenize_captions")
    features, features_version = pinned(job, "features", "extract_features")
    features = features.where(F.col("extractor") == run.extractor)
    if job.settings.external.root == "none":
        split = job.settings.evaluate.split
        scored, made_from = evaluated(job, run, split)
        training, other = populations(job, ["train", split], captions, features)
        other = replace(other, scored=scored)
    else:
        (training,) = populations(job, ["train"], captions, features)
        other, made_from = second_corpus(job, run)
    made_from |= {
        "captions": captions_version, "features": features_version,
        "external": asdict(job.settings.external), "bootstrap": asdict(job.settings.bootstrap),
    }  # fmt: skip
    uri, photos = run.files.population(slug(other.name)), other.features.count()
    if comparison := stored_result(uri, made_from):
        return outcome(run.id, photos, comparison, 0)
    require_cells(features, "features")
    for population in (training, other):
        if population.features.isEmpty():
            raise InputError(
                f"table features: no photo of {population.name} has a feature of {run.extractor}, which the run {run.id} "
                "was trained on; run jobs/extract_features.py with that extractor"
            )
    report = population_report(training, other, run.known_words, job.settings.external, job.settings.bootstrap)
    comparison = store_result(uri, made_from, {"population": other.name, "photos": photos, **report})
    write_page(job, run.id, job.settings.evaluate.split)
    return outcome(run.id, photos, comparison, photos)


def outcome(run_id: str, photos: int, comparison: dict[str, Any], written: int) -> Outcome:
    made_from = comparison["made_from"]
    metrics = {key: comparison[key] for key in ("population", "verdict", "gaps")}
    metrics["look_alikes"] = len(comparison["look_alikes"])
    return Outcome(
        run=run_id,
        rows_in=photos,
        written=written,
        unchanged=photos - written,
        metrics=metrics,
        versions={name: made_from[name] for name in ("predictions", "captions", "features") if name in made_from},
    )


def populations(job: Job, splits: list[str], captions: DataFrame, features: DataFrame) -> list[Population]:
    """The photos of each split that have features, with its captions. All photos are hashed in one pass over their files."""
    of_split = [captions.where(F.col("split") == split) for split in splits]
    rows = [features.join(part.select("image_id").distinct(), "image_id").persist(KEPT) for part in of_split]
    hashes = photo_hashes(job, find_photos(job.spark, job.settings), reduce(DataFrame.unionByName, rows)).persist(KEPT)
    cleaned = words(F.col("text"), job.settings.text.letters_only).alias("words")
    return [
        Population(
            split,
            features=row.select(COLUMNS),
            hashes=hashes.join(row.select("image_id"), "image_id"),
            captions=part.select("image_id", cleaned).persist(KEPT),
        )
        for split, part, row in zip(splits, of_split, rows, strict=True)
    ]


def evaluated(job: Job, run: TrainedRun, split: str) -> tuple[DataFrame, dict[str, Any]]:
    """The run's captions of a split in the table `predictions`, and what they were made from."""
    if split == "train":
        raise InputError(
            "evaluate.split: found train, expected another split to compare with training; set it to dev or test"
        )
    table = job.warehouse.require("predictions", "evaluate")
    version = table.version()
    scored = table.read(version).where((F.col("run_id") == run.id) & (F.col("split") == split)).persist(KEPT)
    if scored.isEmpty():
        raise InputError(
            f"evaluate.split: the table predictions has no captions of the split {split!r} by the run {run.id}; "
            f"run jobs/evaluate.py run.id={run.id} evaluate.split={split} first"
        )
    evaluation = read_json(run.files.evaluation(split)) or {}
    return scored, {"predictions": version, "evaluated": evaluation.get("made_from")}


def second_corpus(job: Job, run: TrainedRun) -> tuple[Population, dict[str, Any]]:
    """The population of external.root, with features of the run's extractor and the run's captions, and its identity."""
    other = second_job(job)
    photos = find_photos(other.spark, other.settings)
    features = extracted(other, photos, job, run)
    hashes = photo_hashes(other, photos, features).persist(KEPT)
    population = Population(job.settings.external.root, features.select(COLUMNS), hashes)
    names = features.agg(F.count("*").alias("n"), F.bit_xor(F.xxhash64("image_id", "content_hash")).alias("x")).first()
    made_from = {"root": job.settings.external.root, "photos": [names.n, names.x], "text": None}
    captions = captions_of(other)
    if captions is not None:
        made_from["text"] = captions.agg(F.bit_xor(F.xxhash64("image_id", "words"))).first()[0]
        scored = captioned(job, run, features, captions)
        population = replace(population, captions=captions.select("image_id", "words"), scored=scored)
    return population, made_from


def second_job(job: Job) -> Job:
    """The same job for the second corpus, whose tables have names of their own."""
    other = Job(f"{job.name}: second corpus", at_root(job.settings, job.settings.external.root))
    other.spark, other.warehouse = job.spark, job.warehouse.prefixed("external_")
    return other


def extracted(other: Job, photos: str, job: Job, run: TrainedRun) -> DataFrame:
    """The features of the second corpus's photos as they are now. Raises InputError for another extractor than the run's."""
    with tempfile.TemporaryDirectory() as scratch:
        extractor, weights = resolve_extractor(job.settings, scratch)
        if extractor.fingerprint != run.extractor:
            raise InputError(
                f"extractor: the configuration means {extractor.fingerprint}, but the run was trained on {run.extractor}; "
                "give the run's configuration"
            )
        folder = open_photo_folder(other, photos, "corpus.root")
        extraction = update_features(other, folder, extractor, ship_weights(job.spark, weights))
    table = other.warehouse.table("features").read(extraction.version)
    listed = folder.files.select("image_id", "content_hash")
    current = table.where(F.col("extractor") == run.extractor)
    return current.join(listed, ["image_id", "content_hash"], "left_semi").persist(KEPT)


def captions_of(other: Job) -> DataFrame | None:
    """image_id, caption_no, text and words of the accepted captions, whatever their split; None if there are none."""
    try:
        corpus = replace(find_corpus(other.spark, other.settings), uses_splits=False)
    except NoCaptions:
        return None
    log_files(other, corpus)
    accepted = accept_or_refuse(other, corpus).where("reason IS NULL")
    captions = accepted.select("image_id", "caption_no", "text", "words").persist(KEPT)
    return None if captions.isEmpty() else captions


def captioned(job: Job, run: TrainedRun, features: DataFrame, captions: DataFrame) -> DataFrame:
    """The run's captions of the second corpus, with the counts that BLEU needs."""
    references = split_references(captions.withColumn("split", F.lit("all")), "all")
    with_references = features.join(references.select("image_id"), "image_id")
    hypotheses = generate(job, run, with_references).withColumn("hypothesis", scored_text(F.col("hypothesis")))
    return with_counts(hypotheses.join(references, "image_id")).persist(KEPT)


def slug(name: str) -> str:
    """A file name for a population: the split's name, or the last part of a corpus's URI with a hash of the whole."""
    if re.fullmatch(r"[\w-]+", name):
        return name
    last = re.sub(r"[^\w-]+", "_", name.rstrip("/").rsplit("/", 1)[-1])[:40]
    return f"{last}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


if __name__ == "__main__":
    run_job(main, __doc__)
