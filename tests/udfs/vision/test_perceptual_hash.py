import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from udfs.vision.decode import PhotoLimits, PhotoRefused, thumbnail
from udfs.vision.perceptual_hash import hamming_distances, hash_photos, near_duplicate_pairs, perceptual_hash
from udfs.vision.scene_pictures import draw_scene
from udfs.vision.scenes import compose_scene


def jpeg(picture, quality=90, **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def photo():
    return draw_scene(compose_scene(0, 3), 160)


def hash_of(content: bytes) -> np.ndarray:
    return np.array([perceptual_hash(content, PhotoLimits())])


def test_a_smaller_and_more_compressed_copy_has_nearly_the_same_hash(photo):
    copy = jpeg(photo.resize((97, 101)), quality=40)
    assert hamming_distances(hash_of(jpeg(photo)), hash_of(copy))[0, 0] <= 8


def test_other_photos_have_other_hashes(photo):
    other = draw_scene(compose_scene(0, 8), 160)
    assert hamming_distances(hash_of(jpeg(photo)), hash_of(jpeg(other)))[0, 0] > 8


def test_bits_are_those_that_python_counts():
    rng = np.random.default_rng(0)
    first, second = (rng.integers(-(2**63), 2**63 - 1, size) for size in (5, 9))
    expected = [[bin((int(a) ^ int(b)) & (2**64 - 1)).count("1") for b in second] for a in first]
    assert hamming_distances(first, second).tolist() == expected
    assert hamming_distances(np.array([0, -1]), np.array([-1])).tolist() == [[64], [0]]


def test_twins_are_the_pairs_within_the_limit():
    queries = SimpleNamespace(value=(["a", "b"], np.array([0, 0b1111])))
    rows = pd.DataFrame({"image_id": ["x", "y"], "hash": [0b1, 0b111111111]})
    found = pd.concat(near_duplicate_pairs(queries, 4, iter([rows])))
    assert sorted(found.itertuples(index=False, name=None)) == [("a", "x", 1), ("b", "x", 3)]


def test_a_broken_file_has_no_hash(photo):
    rows = pd.DataFrame({"image_id": ["a", "b"], "content_hash": ["1", "2"], "content": [b"no picture", jpeg(photo)]})
    (found,) = hash_photos(PhotoLimits(), iter([rows]))
    assert found["hash"].isna().tolist() == [True, False]


def test_thumbnails_are_small_upright_and_without_metadata(photo):
    exif = Image.Exif()
    exif[274], exif[270] = 6, "where it was taken"  # to be turned by 90 degrees
    content = thumbnail(jpeg(photo.resize((200, 100)), exif=exif.tobytes()), PhotoLimits(), 64)
    with Image.open(io.BytesIO(content)) as small:
        assert small.size == (32, 64)
        assert not dict(small.getexif())


def test_a_bomb_is_refused_before_it_is_decoded():
    stream = io.BytesIO()
    Image.new("1", (3000, 3000)).save(stream, "PNG")
    with pytest.raises(PhotoRefused, match="too_many_pixels"):
        thumbnail(stream.getvalue(), PhotoLimits(max_pixels=1_000_000), 64)
