"""Captioning with a finished run, without tables: what its folder says, and one photo at a time without Spark.

from udfs.captioning import caption_photo
caption_photo("photo.jpg", "data/runs/ID")
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from functools import lru_cache

from udfs import files
from udfs.captioner.beam_search import Decoder, Search, load_captioner
from udfs.errors import InputError
from udfs.vision.decode import PhotoLimits, decode_photo
from udfs.vision.extractor import Extractor, load_network
from udfs.vision.weights import find_weights

BEAM, LIMITS = Search(beam_width=3), PhotoLimits()
MODEL, VOCABULARY, RUN = "model.keras", "vocabulary.json", "run.json"


def caption_photo(
    photo: str | bytes, run: str, weights: str = "auto", search: Search = BEAM, limits: PhotoLimits = LIMITS
) -> str:
    """The caption of one photo; a network and a captioner are kept in memory for the next one.

    Arguments:
        photo: its path or URI, or the bytes of the file.
        run: folder of a finished run.
        weights: the extractor's weights; auto: from where they were in training.
        search, limits: how captions are searched for, and which photos are refused.

    Raises: InputError where the run or its weights cannot be used, udfs.vision.decode.PhotoRefused for a bad photo, and OSError
    where there is none.
    """
    content = photo if isinstance(photo, bytes) else files.read_bytes(photo)
    return _captioner(run, weights, search, limits).caption(content)


class PhotoCaptioner:
    """A finished run's captioner with the network that its features come from. Raises InputError like caption_photo."""

    def __init__(self, run: str, weights: str = "auto", search: Search = BEAM, limits: PhotoLimits = LIMITS):
        with tempfile.TemporaryDirectory() as scratch:
            extractor, weights_file = find_extractor(run, weights, scratch, "weights")
            self._predict, self._size, _ = load_network(extractor, weights_file)
        vocabulary = json.loads(read_part(run, VOCABULARY))
        self._tokens, self._limits = vocabulary["tokens"], limits
        self._decoder = Decoder(load_captioner(read_part(run, MODEL)), vocabulary["max_length"], search)

    def caption(self, content: bytes) -> str:
        """The caption of a photo, from the bytes of its file. Raises PhotoRefused."""
        pixels = decode_photo(content, self._size, self._limits)
        feature = self._predict(pixels[None]).numpy().reshape(1, -1)
        (caption,) = self._decoder.captions(feature)
        return " ".join(self._tokens[token] for token in caption)


_captioner = lru_cache(maxsize=1)(PhotoCaptioner)


def find_extractor(run: str, weights: str, scratch: str, key: str) -> tuple[Extractor, str | None]:
    """The extractor that a run was trained with, and its weights as a local file (None for random ones).

    weights: auto for where they were in training, or else imagenet, random:SEED or a file. Raises InputError, which names
    `key`, where there are none, or others than the run was trained with.
    """
    record = json.loads(read_part(run, RUN))
    if "network" not in record:
        raise InputError(
            f"{run}/{RUN}: found no network, expected that of the run's features; the run is of an earlier version, train again"
        )
    extractor = Extractor(**record["network"])
    if extractor.fingerprint != record["extractor"]:
        raise InputError(
            f"{run}/{RUN}: its network is {extractor.fingerprint}, expected {record['extractor']}; it was changed, train again"
        )
    source = extractor.weights if weights == "auto" else weights
    file, found = find_weights(extractor.name, source, scratch, key)
    if found != extractor.weights_hash:
        raise InputError(
            f"{key}: {source} has the hash {found}, expected {extractor.weights_hash}, that of the weights which the run in "
            f"{run} was trained with; give those"
        )
    return replace(extractor, weights=source), file


def read_part(run: str, name: str) -> bytes:
    """A file of a run's folder. Raises InputError where it is not there."""
    try:
        return files.read_bytes(f"{run.rstrip('/')}/{name}")
    except FileNotFoundError as error:
        raise InputError(
            f"run: no {name} in {run}, expected the folder of a finished run; give paths.runs/ID"
        ) from error
