"""Which extractor a configuration means, and how its weights reach the executors."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict
from functools import partial

from pyspark.sql import SparkSession

from conf.schema import Extractor as ExtractorSettings
from jobs.driver.spark.hadoop_files import absolute
from udfs.errors import InputError
from udfs.vision import extraction_task
from udfs.vision import extractor as networks
from udfs.vision.weights import resolve_weights


def resolve_extractor(settings: ExtractorSettings, scratch: str) -> tuple[networks.Extractor, str | None]:
    """The extractor that a configuration means, and its weights as a local file (None for random ones).

    Weights that are not on this machine are brought into the folder `scratch`. Raises InputError where there are none.
    """
    layer, pooling = (settings.layer, settings.pooling)
    if layer == "default":
        layer, usual = networks.default_layer(settings.name)
        pooling = usual if pooling == "none" else pooling
    file, digest = resolve_weights(settings.name, settings.weights, scratch)
    found = networks.Extractor(settings.name.lower(), layer, pooling, settings.precision, settings.weights, digest)
    return found, file


def extractor_of(settings: ExtractorSettings) -> networks.Extractor:
    """The extractor that a configuration means."""
    with tempfile.TemporaryDirectory() as scratch:
        return resolve_extractor(settings, scratch)[0]


def fingerprint_of(settings: ExtractorSettings) -> str:
    """The fingerprint of the features that a configuration means."""
    return extractor_of(settings).fingerprint


def record_of(extractor: networks.Extractor) -> dict:
    """All that is needed to build the extractor again; a weights file by its absolute path, whoever looks for it later."""
    is_file = extractor.weights.endswith((".h5", ".keras"))
    return {**asdict(extractor), "weights": absolute(extractor.weights) if is_file else extractor.weights}


def ship_weights(spark: SparkSession, file: str | None) -> str | None:
    """Sends a weights file to every executor; returns its name there."""
    if file is None:
        return None
    spark.sparkContext.addFile(file)
    return os.path.basename(file)


def probe(spark: SparkSession, extractor: networks.Extractor, weights_name: str | None, task_cores: int) -> list[int]:
    """The shape of a feature, found by building the network on one executor, which keeps it for the photos to come.

    Raises InputError where the network, its layer and its weights do not fit together.
    """
    work = partial(extraction_task.probe, extractor, weights_name, task_cores)
    found = spark.range(1, numPartitions=1).mapInArrow(work, extraction_task.PROBE_SCHEMA).first()
    if found.problem:
        raise InputError(found.problem)
    return found.shape
