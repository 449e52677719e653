"""Explains the captions of photos, word by word: the regions of the photo and the earlier words that each word depends on.

    spark-submit jobs/explain.py photos=FOLDER [run.id=ID]

Writes, for each photo, a strip (PNG) with Grad-CAM, SmoothGrad and occlusion of each generated word, and the extractor's feature
maps. If the captioner's topology attends (`model.topology=attention`), the strip shows its attention too. `explanations.json`
holds each word's figures, among them insertion and deletion curves next to those of random maps, and how far the maps change
when weights are randomised. Photos that cannot be used go to the table `quarantine`.

Keys:
    run.id: the run; auto or latest: the one that finished training last; champion; or an id.
    explain.photos, explain.photos_limit: which photos, and how many of them at most.
    explain.output: where the explanations are written; auto: into the run's folder, where the run's page shows them.
    explain.smooth_samples, explain.smooth_noise: SmoothGrad.
    explain.occlusion_patch, explain.occlusion_stride: occlusion.
    explain.curve_steps, explain.random_orders: the insertion and deletion curves.
    explain.sanity_photos: photos that are explained with randomised weights too.
    explain.batch_size, explain.seed: how it is computed.
    extractor.run_weights: where the weights of the run's extractor are.
    decoding.beam_width, decoding.length_penalty, decoding.no_repeat_ngram_size: how captions are searched for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from functools import partial
from typing import Any

import numpy as np
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.command import Outcome, run_job
from jobs.driver.corpus.named_photos import named_photos
from jobs.driver.corpus.photo_features import photo_limits
from jobs.driver.job import Job
from jobs.driver.page import write_page
from jobs.driver.runs.stored_results import store_result, stored_result
from jobs.driver.runs.trained_run import TrainedRun, chosen_run
from jobs.driver.scoring.generation import search_of
from jobs.driver.spark.hadoop_files import absolute
from jobs.driver.spark.session import arrow_batches
from jobs.driver.tables.quarantine import quarantine
from udfs import files
from udfs.explain.randomised import STAGES
from udfs.explain.task import FILTERS, RESULT_SCHEMA, ExplainInputs, explain_photos
from udfs.explain.word_explanations import ExplainSettings

INDEX = "explanations.json"


def main(job: Job) -> Outcome:
    settings, run = job.settings.explain, chosen_run(job)
    output = run.files.explanations if settings.output == "auto" else absolute(settings.output)
    named = named_photos(job, "explain.photos", settings.photos, settings.photos_limit)
    photos = named.rows.persist(StorageLevel.DISK_ONLY)
    made_from = identity(job, run, photos)
    if index := stored_result(f"{output}/{INDEX}", made_from):
        explained, metrics = len(index["photos"]), index["metrics"]
        return Outcome(
            run=run.id, rows_in=named.count, unchanged=explained, quarantined=named.count - explained, metrics=metrics
        )
    if named.left_out:
        job.log.info(
            f"{named.left_out} photos left out; explain.photos_limit={named.count} sets how many are explained"
        )
    results = explain(job, run, output, photos)
    explanations = [json.loads(row.explanation) for row in results.where("reason IS NULL").orderBy("place").collect()]
    refused = quarantine(job, refusals(settings.photos, results))
    metrics = {**summary(explanations), "left_out": named.left_out, "output": output}
    filters = FILTERS if explanations else None
    index = {"run": run.id, "metrics": metrics, "filters": filters, "photos": explanations}
    store_result(f"{output}/{INDEX}", made_from, index)
    split = job.settings.evaluate.split
    if settings.output == "auto" and files.exists(run.files.evaluation(split)):
        write_page(job, run.id, split)
    return Outcome(run=run.id, rows_in=named.count, written=len(explanations), quarantined=refused, metrics=metrics)


def effort(job: Job) -> ExplainSettings:
    """How much is computed for a photo."""
    return ExplainSettings(
        **{field.name: getattr(job.settings.explain, field.name) for field in fields(ExplainSettings)}
    )


def identity(job: Job, run: TrainedRun, photos: DataFrame) -> dict[str, Any]:
    """What the explanations follow from."""
    hashed = photos.select("image_id", F.sha2("content", 256).alias("hash")).collect()
    return {
        "run": run.id,
        "model": hashlib.sha256(run.model).hexdigest(),
        "photos": {row.image_id: row.hash for row in hashed},
        "effort": {**asdict(effort(job)), "sanity_photos": job.settings.explain.sanity_photos},
        "decoding": asdict(search_of(job.settings)),
        "limits": asdict(photo_limits(job.settings)),
    }


def explain(job: Job, run: TrainedRun, output: str, photos: DataFrame) -> DataFrame:
    """Explains photos on the executors. A task holds one photo at a time in memory.

    Args:
        job: The job.
        run: The run whose captions are explained.
        output: URI of the folder for the pictures.
        photos: place, image_id, length and content, as `named_photos` returns them.

    Returns:
        An explanation or a refusal of each photo, in RESULT_SCHEMA; computed and persisted.
    """
    spark, settings = job.spark, job.settings
    cores, slots = int(spark.conf.get("spark.task.cpus", "1")), spark.sparkContext.defaultParallelism
    captioner = run.captioner(spark, settings.model.topology, search_of(settings))
    rows = photos.withColumn("sanity", F.col("place") < settings.explain.sanity_photos)
    with run.shipped_extractor(job) as (extractor, weights), arrow_batches(spark, 1):
        source = ExplainInputs(
            extractor, weights, captioner.model, captioner.topology, captioner.vocabulary, captioner.search,
            photo_limits(settings), output,
        )  # fmt: skip
        work = partial(explain_photos, source, effort(job), cores)
        results = rows.repartitionByRange(slots, "place").mapInArrow(work, RESULT_SCHEMA)
        results = results.persist(StorageLevel.MEMORY_AND_DISK)
        results.count()
    return results


def refusals(named: str, results: DataFrame) -> DataFrame:
    """The quarantine rows of the refused photos: source, key, reason, details."""
    return results.where("reason IS NOT NULL").select(
        F.lit(named).alias("source"), F.col("image_id").alias("key"), "reason", "details"
    )


def summary(explanations: list[dict]) -> dict[str, Any]:
    """Means over all words: areas under the curves, shares of words whose map beats random maps, and rank correlations."""
    words = [word for photo in explanations for word in photo["words"]]
    checks = [photo["randomised"] for photo in explanations if "randomised" in photo]
    methods = [name for name in words[0]["deletion"] if name != "random"] if words else []
    result: dict[str, Any] = {"photos": len(explanations), "words": len(words)}
    for curve, sign in {"insertion": 1, "deletion": -1}.items() if words else ():
        result[curve] = {name: _mean(word[curve][name] for word in words) for name in (*methods, "random")}
        result[f"{curve}_better_than_random"] = {
            name: _mean(sign * (word[curve][name] - word[curve]["random"]) > 0 for word in words) for name in methods
        }
    result["rank_correlation_with_randomised"] = {
        stage: {name: _mean(check[stage][name] for check in checks) for name in methods} for stage in STAGES if checks
    }
    return result


def _mean(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 4)


if __name__ == "__main__":
    run_job(main, __doc__)
