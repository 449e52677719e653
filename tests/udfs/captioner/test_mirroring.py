"""Photos that are mirrored in training, and the extractor of their features."""

import io
from functools import partial

import numpy as np
from PIL import Image

from udfs.captioner.examples import CaptionExamples
from udfs.vision.decode import PhotoLimits
from udfs.vision.extraction_task import RESULT_SCHEMA, extract
from udfs.vision.extractor import Extractor, preprocessing_of
from udfs.vision.features import STORED
from udfs.vision.weights import random_weights_hash

ROWS = 1000


def examples(by_photo: bool) -> CaptionExamples:
    """Two captions a photo; a photo's feature is its number, and negative if it is mirrored."""
    photo = np.arange(1, ROWS + 1, dtype=STORED)[:, None]
    tokens = np.ones((ROWS, 2, 3), "int32")
    return CaptionExamples(photo, tokens, np.full(ROWS, 2), by_photo, -photo)


def test_the_share_is_mirrored_and_only_in_the_copy():
    plain = examples(by_photo=True)
    some = plain.with_some_mirrored(0.3, (0, 1, 2, 3))
    _, _, photos = some.take(np.arange(ROWS))
    assert 0.25 < (photos < 0).mean() < 0.35
    np.testing.assert_array_equal(np.abs(photos), plain.photo)
    assert (plain.take(np.arange(ROWS))[2] > 0).all()
    assert (plain.photo > 0).all()


def test_a_photo_is_mirrored_for_all_of_its_captions_and_anew_in_another_pass():
    some, other = (examples(by_photo=False).with_some_mirrored(0.5, (0, epoch, 2, 3)) for epoch in (1, 2))
    _, photo_of_caption, photos = some.take(np.arange(2 * ROWS)[::-1])
    assert len(photos) == ROWS
    assert set(np.bincount(photo_of_caption)) == {2}
    assert (some.is_mirrored != other.is_mirrored).mean() > 0.4
    again = examples(by_photo=True).with_some_mirrored(0.5, (0, 1, 2, 3))
    np.testing.assert_array_equal(some.is_mirrored, again.is_mirrored)


def test_the_mirrored_feature_is_that_of_the_mirrored_photo(spark):
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), "uint8")
    plain = Extractor(
        "mobilenet_v2", "block_3_expand_relu", "none", "float32", "random:0", random_weights_hash(0),
        preprocessing_of(False, "antialias"),
    )  # fmt: skip
    assert plain.mirrored.resize == plain.resize == "antialias"
    assert plain.mirrored.fingerprint != plain.fingerprint
    assert plain.mirrored.mirrored == plain.mirrored
    np.testing.assert_array_equal(_feature(spark, plain.mirrored, pixels), _feature(spark, plain, pixels[:, ::-1]))
    assert not np.array_equal(_feature(spark, plain.mirrored, pixels), _feature(spark, plain, pixels))


def _feature(spark, extractor: Extractor, pixels: np.ndarray) -> np.ndarray:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    rows = spark.createDataFrame(
        [("a", "h", content.getvalue())], "image_id string, content_hash string, content binary"
    )
    work = partial(extract, extractor, None, PhotoLimits(), 1, 1)
    return np.frombuffer(rows.coalesce(1).mapInArrow(work, RESULT_SCHEMA).first().feature, STORED)
