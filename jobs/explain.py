"""Explains the captions of photos, word by word: where in the photo, and which earlier words.

    spark-submit jobs/explain.py photos=FOLDER [run.id=ID]

For each photo a strip (PNG) with Grad-CAM, SmoothGrad and occlusion of each generated word, and the extractor's feature maps;
beside them explanations.json with each word's figures, among them insertion and deletion curves against random saliency, and
how far the maps change when weights are randomised. All in `report/explanations` of the run's folder, where the run's page shows
them, or in explain.output.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, fields
from functools import partial

import numpy as np
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.corpus.extractors import ship_weights
from jobs.driver.corpus.named_photos import named_photos
from jobs.driver.job import Job, Outcome, run_job
from jobs.driver.page import write_page
from jobs.driver.runs.champion import promoted_run, require_trained
from jobs.driver.runs.registry import read_json, write_json
from jobs.driver.spark.hadoop_files import absolute
from jobs.driver.tables.quarantine import quarantine
from jobs.evaluate import search_of
from udfs import files
from udfs.captioning import resolve_run_extractor
from udfs.explain.randomised import STAGES
from udfs.explain.task import FILTERS, RESULT_SCHEMA, Source, explain_photos
from udfs.explain.word_explanations import METHODS, Effort
from udfs.vision.decode import PhotoLimits

INDEX = "explanations.json"


def main(job: Job) -> Outcome:
    settings, run = job.settings, promoted_run(job.settings)
    folder = require_trained(settings, run)
    output = f"{folder}/report/explanations" if settings.explain.output == "auto" else absolute(settings.explain.output)
    named = named_photos(job, "explain.photos", settings.explain.photos, settings.explain.photos_limit)
    photos = named.rows.persist(StorageLevel.DISK_ONLY)
    effort = Effort(**{field.name: getattr(settings.explain, field.name) for field in fields(Effort)})
    made_from = describe(job, run, folder, photos, effort)
    last = read_json(f"{output}/{INDEX}") or {}
    if last.get("made_from") == made_from:
        done = len(last["photos"])
        return Outcome(None, run, None, named.count, 0, done, named.count - done, last["metrics"])
    if named.left_out:
        job.log.info(f"{named.left_out} photos left out; explain.photos_limit={named.count} explains more or fewer")
    with tempfile.TemporaryDirectory() as scratch:  # executors may fetch the weights from here as long as the job runs
        results = explain(job, folder, output, photos, effort, scratch).persist(StorageLevel.MEMORY_AND_DISK)
        found = [json.loads(row.explanation) for row in results.where("reason IS NULL").orderBy("place").collect()]
    refused = quarantine(job, refusals(settings.explain.photos, results))
    metrics = {**summary(found), "left_out": named.left_out, "output": output}
    filters = FILTERS if found else None
    index = {"run": run, "made_from": made_from, "metrics": metrics, "filters": filters, "photos": found}
    write_json(f"{output}/{INDEX}", index)
    split = settings.evaluate.split
    if settings.explain.output == "auto" and files.exists(f"{folder}/evaluate-{split}.json"):
        write_page(job, run, split)
    return Outcome(None, run, None, named.count, len(found), 0, refused, metrics)


def describe(job: Job, run: str, folder: str, photos: DataFrame, effort: Effort) -> dict:
    """What decides the explanations: the same again need not be computed."""
    hashed = photos.select("image_id", F.sha2("content", 256).alias("hash")).collect()
    return {
        "run": run,
        "model": hashlib.sha256(files.read_bytes(f"{folder}/model.keras")).hexdigest(),
        "photos": {row.image_id: row.hash for row in hashed},
        "effort": {**asdict(effort), "sanity_photos": job.settings.explain.sanity_photos},
        "decoding": asdict(search_of(job.settings)),
        "limits": asdict(limits(job)),
    }


def explain(job: Job, folder: str, output: str, photos: DataFrame, effort: Effort, scratch: str) -> DataFrame:
    """The explanations (or refusals) of photos, with their places. One photo at a time is in a task's memory."""
    spark, settings = job.spark, job.settings
    vocabulary = read_json(f"{folder}/vocabulary.json")
    extractor, weights_file = resolve_run_extractor(folder, settings.extractor.run_weights, scratch, "extractor.run_weights")
    model = spark.sparkContext.broadcast(files.read_bytes(f"{folder}/model.keras"))
    source = Source(
        extractor, ship_weights(spark, weights_file), model, tuple(vocabulary["tokens"]), vocabulary["max_length"],
        search_of(settings), limits(job), output,
    )  # fmt: skip
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", 1)
    cores, slots = int(spark.conf.get("spark.task.cpus", "1")), spark.sparkContext.defaultParallelism
    rows = photos.withColumn("sanity", F.col("place") < settings.explain.sanity_photos)
    work = partial(explain_photos, source, effort, cores)
    return rows.repartitionByRange(slots, "place").mapInArrow(work, RESULT_SCHEMA)


def limits(job: Job) -> PhotoLimits:
    corpus = job.settings.corpus
    return PhotoLimits(corpus.max_pixels, corpus.min_side, corpus.convert)


def refusals(named: str, results: DataFrame) -> DataFrame:
    return results.where("reason IS NOT NULL").select(
        F.lit(named).alias("source"), F.col("image_id").alias("key"), "reason", "details"
    )


def summary(found: list[dict]) -> dict:
    """Means over all words: areas under the curves, the share of words whose map beats random, and the randomised weights."""
    words = [word for photo in found for word in photo["words"]]
    checks = [photo["randomised"] for photo in found if "randomised" in photo]
    result = {"photos": len(found), "words": len(words)}
    for curve, sign in {"insertion": 1, "deletion": -1}.items() if words else ():
        result[curve] = {name: _mean(word[curve][name] for word in words) for name in (*METHODS, "random")}
        result[f"{curve}_better_than_random"] = {
            name: _mean(sign * (word[curve][name] - word[curve]["random"]) > 0 for word in words) for name in METHODS
        }
    result["rank_correlation_with_randomised"] = {
        stage: {name: _mean(check[stage][name] for check in checks) for name in METHODS} for stage in STAGES if checks
    }
    return result


def _mean(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 4)


if __name__ == "__main__":
    run_job(main, __doc__)
