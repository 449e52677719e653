"""Perceptual hashes of photos: pictures that look alike have hashes of few differing bits, in any size or compression."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from udfs.vision.decode import PhotoLimits, PhotoRefused, open_photo

BITS = 64
NEAR = 128  # pixels; a JPEG is decoded no larger than it must be for this
BLOCK = 1024  # hashes of one side compared at a time
SCHEMA = "image_id string, content_hash string, hash bigint"
PAIRS = "image_id string, twin string, bits int"
_ONES = np.array([bin(number).count("1") for number in range(2**16)], "uint8")


def perceptual_hash(content: bytes, limits: PhotoLimits) -> int:
    """The DCT hash (pHash; Zauner, 2010) of a picture file as a signed 64-bit number. Raises PhotoRefused."""
    import imagehash

    bits = imagehash.phash(open_photo(content, limits, NEAR)).hash
    return int(np.packbits(bits).view(">i8")[0])


def hash_photos(limits: PhotoLimits, batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Maps rows (image_id, content_hash, content) to SCHEMA; the hash is null where the picture is refused."""
    for rows in batches:
        hashes = [_hash_or_none(content, limits) for content in rows.content]
        yield rows[["image_id", "content_hash"]].assign(hash=pd.array(hashes, "Int64"))


def _hash_or_none(content: bytes, limits: PhotoLimits) -> int | None:
    try:
        return perceptual_hash(content, limits)
    except PhotoRefused:
        return None


def differing_bits(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The Hamming distances of two arrays of int64 hashes, uint8 (first, second)."""
    differing = np.bitwise_xor.outer(first, second)
    return _ONES[differing.view("uint16").reshape(*differing.shape, 4)].sum(axis=-1, dtype="uint8")


def twins(queries, most: int, batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Maps training rows (image_id, hash) to PAIRS: each photo of the queries that differs from one in at most `most` bits.

    queries: a Spark broadcast of (list of image_id, int64 array of hashes).
    """
    names, hashes = queries.value
    for rows in batches:
        theirs = rows["hash"].to_numpy("int64")
        for start in range(0, len(hashes), BLOCK):
            bits = differing_bits(hashes[start : start + BLOCK], theirs)
            mine, other = np.nonzero(bits <= most)
            yield pd.DataFrame(
                {
                    "image_id": [names[start + number] for number in mine],
                    "twin": rows.image_id.to_numpy()[other],
                    "bits": bits[mine, other].astype("int32"),
                }
            )
