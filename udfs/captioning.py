"""Captions photos with a finished run, without Spark and without tables.

Example:
    >>> from udfs.captioning import caption_photo
    >>> caption_photo("photo.jpg", "data/runs/ID")
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace

from udfs import files
from udfs.captioner.beam_search import Decoder, Search, load_captioner
from udfs.errors import InputError
from udfs.process_cache import load_once
from udfs.run_folder import RunFolder
from udfs.vision.decode import PhotoLimits, decode_photo
from udfs.vision.extractor import Extractor, load_network
from udfs.vision.weights import resolve_weights

DEFAULT_SEARCH, DEFAULT_LIMITS = Search(beam_width=3), PhotoLimits()


def caption_photo(
    photo: str | bytes,
    run: str,
    weights: str = "auto",
    search: Search = DEFAULT_SEARCH,
    limits: PhotoLimits = DEFAULT_LIMITS,
) -> str:
    """Returns the caption of one photo. The networks stay in memory for the next call with the same run and settings.

    Args:
        photo: Path or URI of the photo, or the bytes of the file.
        run: Path or URI of a finished run's folder.
        weights: The extractor's weights: `auto` for those that the run was trained with, from the same place; or `imagenet`,
            `random:SEED`, or the path or URI of a file.
        search: How captions are generated.
        limits: Which photos are accepted.

    Raises:
        InputError: The run or its weights cannot be used.
        udfs.vision.decode.PhotoRefused: The file is not an accepted picture.
        OSError: The photo cannot be read.
    """
    content = photo if isinstance(photo, bytes) else files.read_bytes(photo)
    return load_once(PhotoCaptioner, run, weights, search, limits).caption(content)


class PhotoCaptioner:
    """The captioner of a finished run together with its feature extractor. Arguments and errors as in `caption_photo`."""

    def __init__(
        self, run: str, weights: str = "auto", search: Search = DEFAULT_SEARCH, limits: PhotoLimits = DEFAULT_LIMITS
    ):
        with tempfile.TemporaryDirectory() as scratch:
            extractor, weights_file = resolve_run_extractor(run, weights, scratch, "weights")
            self._network = load_network(extractor, weights_file)
        folder = _run_folder(run)
        vocabulary = json.loads(_read(folder, folder.vocabulary))
        self._tokens, self._limits = vocabulary["tokens"], limits
        self._decoder = Decoder(load_captioner(_read(folder, folder.model)), vocabulary["max_length"], search)

    def caption(self, content: bytes) -> str:
        """Returns the caption of a photo.

        Args:
            content: The bytes of the photo's file.

        Raises:
            udfs.vision.decode.PhotoRefused: The file is not an accepted picture.
        """
        pixels = decode_photo(content, self._network.photo_size, self._limits)
        feature = self._network.predict(pixels[None]).numpy().reshape(1, -1)
        (caption,) = self._decoder.captions(feature)
        return " ".join(self._tokens[token] for token in caption)


def resolve_run_extractor(run: str, weights: str, scratch: str, key: str) -> tuple[Extractor, str | None]:
    """Finds the extractor that a run was trained with, and its weights.

    Args:
        run: Path or URI of the run's folder.
        weights: `auto` for the place that the weights had in training; or `imagenet`, `random:SEED`, or the path or URI of a
            file.
        scratch: A local folder for weights that must be downloaded or copied to this machine.
        key: The configuration key that error messages name.

    Returns:
        (extractor, local path of its weights or None for random weights).

    Raises:
        InputError: The run has no usable record of its extractor, or the weights are not those that it was trained with.
    """
    folder = _run_folder(run)
    record = json.loads(_read(folder, folder.about))
    if "network" not in record:
        raise InputError(
            f"{folder.about}: found no network, expected that of the run's features; "
            "the run is of an earlier version, train again"
        )
    extractor = Extractor(**record["network"])
    if extractor.fingerprint != record["extractor"]:
        raise InputError(
            f"{folder.about}: its network is {extractor.fingerprint}, expected {record['extractor']}; "
            "the file was changed, train again"
        )
    source = extractor.weights if weights == "auto" else weights
    file, weights_hash = resolve_weights(extractor.name, source, scratch, key)
    if weights_hash != extractor.weights_hash:
        raise InputError(
            f"{key}: {source} has the hash {weights_hash}, expected {extractor.weights_hash}, that of the weights which the "
            f"run in {run} was trained with; give those"
        )
    return replace(extractor, weights=source), file


def _run_folder(run: str) -> RunFolder:
    return RunFolder(run.rstrip("/"))


def _read(folder: RunFolder, uri: str) -> bytes:
    try:
        return files.read_bytes(uri)
    except FileNotFoundError as error:
        name = uri.rsplit("/", 1)[-1]
        raise InputError(
            f"run: no {name} in {folder.uri}, expected the folder of a finished run; give paths.runs/ID"
        ) from error
