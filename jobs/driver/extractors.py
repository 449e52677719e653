"""Which extractor a configuration means, and how its weights reach the executors."""

from __future__ import annotations

import os
import re
import tempfile
from functools import partial

import fsspec
from pyspark.sql import SparkSession

from conf.schema import Extractor as ExtractorSettings
from udfs import extractor as networks
from udfs.errors import InputError

RANDOM = re.compile(r"random:(\d{1,9})")


def resolve_extractor(settings: ExtractorSettings, scratch: str) -> tuple[networks.Extractor, str | None]:
    """The extractor that a configuration means, and its weights as a local file (None for random ones).

    Weights that are not on this machine are brought into the folder `scratch`. Raises InputError where there are none.
    """
    layer, pooling = (settings.layer, settings.pooling)
    if layer == "default":
        layer, usual = networks.usual_layer(settings.name)
        pooling = usual if pooling == "none" else pooling
    file, digest = _weights(settings, scratch)
    found = networks.Extractor(settings.name.lower(), layer, pooling, settings.precision, settings.weights, digest)
    return found, file


def fingerprint_of(settings: ExtractorSettings) -> str:
    """The fingerprint of the features that a configuration means."""
    with tempfile.TemporaryDirectory() as scratch:
        return resolve_extractor(settings, scratch)[0].fingerprint


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
    work = partial(networks.probe, extractor, weights_name, task_cores)
    found = spark.range(1, numPartitions=1).mapInArrow(work, networks.PROBE_SCHEMA).first()
    if found.problem:
        raise InputError(found.problem)
    return found.shape


def _weights(settings: ExtractorSettings, scratch: str) -> tuple[str | None, str]:
    if match := RANDOM.fullmatch(settings.weights):
        return None, networks.random_weights_hash(int(match[1]))
    if settings.weights == "imagenet":
        path = os.path.join(scratch, f"{settings.name.lower()}.weights.h5")
        return path, networks.save_imagenet_weights(settings.name, path)
    if not settings.weights.endswith((".h5", ".keras")):
        raise InputError(
            f"extractor.weights: found {settings.weights!r}, expected imagenet, random:SEED or a file *.h5; change it"
        )
    path = _local_copy(settings.weights, scratch)
    return path, networks.file_hash(path)


def _local_copy(weights: str, scratch: str) -> str:
    try:
        source = fsspec.open(weights, "rb")
        if "file" in source.fs.protocol and os.path.isfile(source.path):
            return source.path
        path = os.path.join(scratch, os.path.basename(weights))
        source.fs.get(source.path, path)
        return path
    except (OSError, ValueError, ImportError) as error:
        raise InputError(
            f"extractor.weights: {weights} cannot be read ({error}); give a weights file that is there, imagenet or random:SEED"
        ) from error
