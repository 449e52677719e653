"""The extractor that a configuration names, and how its weights reach the executors."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict
from functools import partial
from typing import Any

from pyspark.sql import SparkSession

from conf import Settings
from jobs.driver.spark.hadoop_files import absolute
from udfs.errors import InputError
from udfs.vision import extraction_task
from udfs.vision.extractor import Extractor, default_layer, preprocessing_of
from udfs.vision.weights import resolve_weights


def resolve_extractor(settings: Settings, scratch: str) -> tuple[Extractor, str | None]:
    """Resolves a configuration to an extractor with all its defaults and the hash of its weights.

    Args:
        settings: The configuration: its section `extractor`, and whether the corpus is `strict`.
        scratch: A local folder. Weights on another file system are copied into it.

    Returns:
        The extractor, and the local path of its weights file (None for random weights).

    Raises:
        InputError: The weights do not exist, or they are not those of the network.
    """
    chosen = settings.extractor
    layer, pooling = chosen.layer, chosen.pooling
    if layer == "default":
        layer, default_pooling = default_layer(chosen.name)
        pooling = default_pooling if pooling == "none" else pooling
    path, digest = resolve_weights(chosen.name, chosen.weights, scratch)
    preprocessing = preprocessing_of(settings.corpus.strict, chosen.resize)
    return Extractor(chosen.name.lower(), layer, pooling, chosen.precision, chosen.weights, digest, preprocessing), path


def extractor_of(settings: Settings) -> Extractor:
    """Returns the extractor that a configuration names."""
    with tempfile.TemporaryDirectory() as scratch:
        return resolve_extractor(settings, scratch)[0]


def record_of(extractor: Extractor) -> dict[str, Any]:
    """Returns all fields that are needed to build the extractor again, with the absolute path of a weights file."""
    is_file = extractor.weights.endswith((".h5", ".keras"))
    return {**asdict(extractor), "weights": absolute(extractor.weights) if is_file else extractor.weights}


def ship_weights(spark: SparkSession, file: str | None) -> str | None:
    """Sends a weights file to every executor, and returns its name there; None stays None."""
    if file is None:
        return None
    spark.sparkContext.addFile(file)
    return os.path.basename(file)


def probe(spark: SparkSession, extractor: Extractor, weights_name: str | None, task_cores: int) -> list[int]:
    """Builds the network on one executor, which keeps it for the photos to come, to check it and to get a feature's shape.

    Args:
        spark: The session.
        extractor: The extractor.
        weights_name: Name of the weights file on the executors, as `ship_weights` returned it.
        task_cores: Threads that the network may use.

    Raises:
        InputError: The network, its layer and its weights do not fit together.
    """
    work = partial(extraction_task.probe, extractor, weights_name, task_cores)
    result = spark.range(1, numPartitions=1).mapInArrow(work, extraction_task.PROBE_SCHEMA).first()
    if result.problem:
        raise InputError(result.problem)
    return result.shape
