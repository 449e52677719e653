"""Perceptual hashes of photos. Hashes of similar pictures differ in few bits, whatever their size and compression."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from udfs.vision.decode import PhotoLimits, PhotoRefused, open_photo

DRAFT_SIDE = 128  # pixels; enough for a hash, and a JPEG is decoded faster at a smaller scale
BLOCK = 1024  # query hashes that are compared at a time
HASH_SCHEMA = "image_id string, content_hash string, hash bigint"
PAIR_SCHEMA = "image_id string, twin string, bits int"
_SET_BITS = np.array([bin(number).count("1") for number in range(2**16)], "uint8")


def perceptual_hash(content: bytes, limits: PhotoLimits) -> int:
    """Returns the DCT hash (pHash; Zauner, 2010) of a picture file as a signed 64-bit integer.

    Raises:
        PhotoRefused: The file is not an accepted picture.
    """
    import imagehash

    bits = imagehash.phash(open_photo(content, limits, DRAFT_SIDE)).hash
    return int(np.packbits(bits).view(">i8")[0])


def hash_photos(limits: PhotoLimits, batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Maps rows (image_id, content_hash, content) to HASH_SCHEMA; a refused photo has a null hash."""
    for rows in batches:
        hashes = [_hash_or_none(content, limits) for content in rows.content]
        yield rows[["image_id", "content_hash"]].assign(hash=pd.array(hashes, "Int64"))


def hamming_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns in how many bits hashes differ: uint8 (first, second), from two arrays of int64 hashes."""
    differing = np.bitwise_xor.outer(first, second)
    return _SET_BITS[differing.view("uint16").reshape(*differing.shape, 4)].sum(axis=-1, dtype="uint8")


def near_duplicate_pairs(queries, max_bits: int, batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Finds the training photos that are near duplicates of query photos.

    Args:
        queries: A Spark broadcast of (list of image_id, int64 array of their hashes).
        max_bits: The largest number of differing bits.
        batches: Training photos: rows (image_id, hash).

    Yields:
        Rows of PAIR_SCHEMA: a query's image_id, the training photo (`twin`), and the number of differing bits.
    """
    names, hashes = queries.value
    for rows in batches:
        training_hashes = rows["hash"].to_numpy("int64")
        for start in range(0, len(hashes), BLOCK):
            bits = hamming_distances(hashes[start : start + BLOCK], training_hashes)
            query, training = np.nonzero(bits <= max_bits)
            yield pd.DataFrame(
                {
                    "image_id": [names[start + number] for number in query],
                    "twin": rows.image_id.to_numpy()[training],
                    "bits": bits[query, training].astype("int32"),
                }
            )


def _hash_or_none(content: bytes, limits: PhotoLimits) -> int | None:
    try:
        return perceptual_hash(content, limits)
    except PhotoRefused:
        return None
