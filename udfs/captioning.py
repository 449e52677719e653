"""Captions photos with a finished run, without Spark and without tables.

Example:
    >>> from udfs.captioning import caption_photo
    >>> caption_photo("photo.jpg", "data/runs/ID")
"""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from udfs import files
from udfs.captioner.beam_search import Decoder, Search
from udfs.captioner.model import load_captioner
from udfs.captioner.vocabulary import Vocabulary
from udfs.errors import InputError, one_line
from udfs.process_cache import load_once
from udfs.run_folder import RunFolder
from udfs.vision.decode import PhotoLimits, decode_photo
from udfs.vision.extraction_task import rounded
from udfs.vision.extractor import Extractor, load_network
from udfs.vision.weights import resolve_weights

if TYPE_CHECKING:
    from udfs.captioner.topologies.base import Captioner

DEFAULT_SEARCH, DEFAULT_LIMITS = Search(beam_width=3), PhotoLimits()


def caption_photo(
    photo: str | bytes,
    run: str,
    weights: str = "auto",
    search: Search = DEFAULT_SEARCH,
    limits: PhotoLimits = DEFAULT_LIMITS,
    topology: str = "merge",
) -> str:
    """Returns the caption of one photo. The networks stay in memory for the next call with the same run and settings.

    Args:
        photo: Path or URI of the photo, or the bytes of the file.
        run: Path or URI of a finished run's folder.
        weights: The extractor's weights: `auto` for those that the run was trained with, from the same place; or `imagenet`,
            `random:SEED`, or the path or URI of a file.
        search: How captions are generated.
        limits: Which photos are accepted.
        topology: `package.module:Class` of the run's topology, if it is not one of the project's.

    Raises:
        InputError: The run or its weights cannot be used.
        udfs.vision.decode.PhotoRefused: The file is not an accepted picture.
        OSError: The photo cannot be read.
    """
    content = photo if isinstance(photo, bytes) else files.read_bytes(photo)
    return load_once(PhotoCaptioner, run, weights, search, limits, topology).caption(content)


class PhotoCaptioner:
    """The captioner of a finished run together with its feature extractor. Arguments and errors as in `caption_photo`."""

    def __init__(
        self,
        run: str,
        weights: str = "auto",
        search: Search = DEFAULT_SEARCH,
        limits: PhotoLimits = DEFAULT_LIMITS,
        topology: str = "merge",
    ):
        with tempfile.TemporaryDirectory() as scratch:
            extractor, weights_file = resolve_run_extractor(run, weights, scratch, "weights")
            self._network = load_network(extractor, weights_file)
        folder = _run_folder(run)
        self._vocabulary, self._limits, self._resize = _vocabulary(folder), limits, extractor.resize
        captioner = load_captioner(_read(folder, folder.model), topology)
        _require_fit(folder, captioner, len(self._vocabulary.tokens), math.prod(self._network.feature_shape))
        self._decoder = Decoder(captioner, self._vocabulary.max_length, search)

    def caption(self, content: bytes) -> str:
        """Returns the caption of a photo.

        Args:
            content: The bytes of the photo's file.

        Raises:
            udfs.vision.decode.PhotoRefused: The file is not an accepted picture.
        """
        pixels = decode_photo(content, self._network.photo_size, self._limits, self._resize)
        feature = rounded(self._network.predict(pixels[None]).numpy())
        (caption,) = self._decoder.captions(feature)
        return self._vocabulary.text(caption)


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
    record = _read_json(folder, folder.about)
    if "network" not in record:
        raise InputError(
            f"{folder.about}: found no network, expected that of the run's features; "
            "the run is of an earlier version, train again"
        )
    try:
        extractor = Extractor(**record["network"])
        fingerprint = extractor.fingerprint
    except (TypeError, ValueError) as error:
        raise InputError(f"{folder.about}: network: {one_line(error)}; the file was changed, train again") from error
    if fingerprint != record.get("extractor"):
        raise InputError(
            f"{folder.about}: its network is {fingerprint}, expected {record.get('extractor')}; "
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


def _require_fit(folder: RunFolder, captioner: Captioner, tokens: int, feature_size: int) -> None:
    sizes = (captioner.shape.feature_size, captioner.shape.vocabulary_size)
    if sizes != (feature_size, tokens):
        raise InputError(
            f"{folder.model}: found a model from {sizes[0]} features to {sizes[1]} tokens, expected {feature_size} and {tokens} "
            "as in the run's other files; a file was changed, train again"
        )


def _vocabulary(folder: RunFolder) -> Vocabulary:
    try:
        return Vocabulary.from_json(_read_json(folder, folder.vocabulary))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder.vocabulary}: {one_line(error)}; the file was changed, train again") from error


def _read_json(folder: RunFolder, uri: str) -> dict[str, Any]:
    try:
        values = json.loads(_read(folder, uri))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{uri}: {one_line(error)}; the file was changed, train again") from error
    if not isinstance(values, dict):
        raise InputError(f"{uri}: found {type(values).__name__}, expected an object; the file was changed, train again")
    return values


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
