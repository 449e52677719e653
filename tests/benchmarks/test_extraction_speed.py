"""Photos a second: the extraction stage against a plain batched one-process program, on the same photos in turn."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from pyspark.sql import functions as F

from conf import Settings
from conf.schema import Extractor as ExtractorSettings
from jobs.driver.corpus.configured_extractor import resolve_extractor
from jobs.driver.corpus.photo_features import even_tasks, task_count
from jobs.driver.corpus.photo_listing import map_contents, photo_ids, photo_names
from udfs.vision.decode import PhotoLimits, decode_photo
from udfs.vision.extraction_task import RESULT_SCHEMA, extract
from udfs.vision.extractor import build_network, resolve_network
from udfs.vision.features import NOT_FLOAT16

FLICKR8K = Path(os.environ.get("FLICKR8K", "../shared/flickr8k"))
BATCH, ROUNDS = 32, 3
CASES = {
    "mobilenet_v2-float32": (ExtractorSettings(name="mobilenet_v2", weights="random:0"), 1024),
    "vgg16-bfloat16": (ExtractorSettings(name="vgg16", weights="random:0", precision="bfloat16"), 96),
}


@pytest.fixture
def photos(tmp_path):
    if not FLICKR8K.is_dir():
        pytest.skip(f"no photos in {FLICKR8K}; name them with FLICKR8K")

    def first(count: int) -> Path:
        folder = tmp_path / "images"
        folder.mkdir()
        for path in sorted((FLICKR8K / "images").iterdir())[:count]:
            (folder / path.name).symlink_to(path.resolve())
        return folder

    return first


def plain_program(folder: Path, extractor):
    """Reads, decodes and predicts in batches, with all of TensorFlow's threads; returns a function that does it once."""
    import tensorflow as tf

    network, size = build_network(extractor, None)
    _, module = resolve_network(extractor.name)
    predict = tf.function(
        lambda x: network(module.preprocess_input(tf.cast(x, tf.float32)), training=False), reduce_retracing=True
    )
    paths = sorted(folder.iterdir())

    def once() -> int:
        for start in range(0, len(paths), BATCH):
            predict(np.stack([decode_photo(path.read_bytes(), size) for path in paths[start : start + BATCH]])).numpy()
        return len(paths)

    return once


def extraction_stage(spark, folder: Path, extractor, count: int):
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", BATCH)
    work = partial(extract, extractor, None, PhotoLimits(), BATCH, 1)

    def once() -> int:
        rows = photo_ids(spark, photo_names(spark, str(folder))).select("image_id", F.lit("").alias("content_hash"))
        features = map_contents(rows, str(folder), work, RESULT_SCHEMA, 2**26, task_count(spark, count, BATCH))
        with even_tasks(spark, count, BATCH):
            # Some untrained features are too small for 16 bits, after all the work.
            return features.where(F.col("reason").isNull() | (F.col("reason") == NOT_FLOAT16)).count()

    return once


def seconds(action) -> tuple[float, int]:
    started = time.monotonic()
    count = action()
    return time.monotonic() - started, count


@pytest.mark.parametrize("case", CASES)
def test_extraction_keeps_up_with_a_plain_program(spark, photos, case):
    settings, count = CASES[case]
    extractor, _ = resolve_extractor(Settings(extractor=settings), "")
    folder = photos(count)
    ours, plain = extraction_stage(spark, folder, extractor, count), plain_program(folder, extractor)
    assert ours() == plain() == count  # start-up: networks are built and compiled here
    times = [(seconds(ours)[0], seconds(plain)[0]) for _ in range(ROUNDS)]
    ratio = median(b / a for a, b in times)
    rates = [count / median(column) for column in zip(*times, strict=True)]
    print(f"\n{case}: {rates[0]:.1f} photos/s on Spark, {rates[1]:.1f} plain, ratio {ratio:.2f} (rounds: {times})")
    assert ratio >= 0.8
