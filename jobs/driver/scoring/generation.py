"""Generates captions with a trained run on the executors."""

from __future__ import annotations

from functools import partial

from pyspark import StorageLevel
from pyspark.sql import DataFrame

from conf import Settings
from jobs.driver.job import Job
from jobs.driver.runs.trained_run import TrainedRun
from jobs.driver.spark.session import arrow_batches
from udfs.captioner.beam_search import Search, caption_photos
from udfs.vision.features import COLUMNS

SCHEMA = "image_id string, hypothesis string"


def search_of(settings: Settings) -> Search:
    """How the configuration searches for captions."""
    decoding = settings.decoding
    return Search(decoding.beam_width, decoding.length_penalty, decoding.no_repeat_ngram_size)


def generate(job: Job, run: TrainedRun, features: DataFrame) -> DataFrame:
    """Captions photos.

    Args:
        job: The job.
        run: The run whose model captions.
        features: image_id, feature and feature_shape (of the run's extractor) of each photo.

    Returns:
        image_id and hypothesis (the caption) of each photo, computed and persisted.
    """
    spark = job.spark
    captioner = run.captioner(spark, job.settings.model.topology, search_of(job.settings))
    cores = int(spark.conf.get("spark.task.cpus", "1"))
    work = partial(caption_photos, captioner.model, captioner.topology, captioner.vocabulary, captioner.search, cores)
    rows = features.select(COLUMNS).repartition(spark.sparkContext.defaultParallelism, "image_id")
    with arrow_batches(spark, job.settings.decoding.batch_size):
        captions = rows.mapInArrow(work, SCHEMA).persist(StorageLevel.MEMORY_AND_DISK)
        captions.count()
    return captions
