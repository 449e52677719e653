"""What a Spark task of jobs/explain.py does: it captions photos, explains the captions and writes the pictures."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from udfs import files
from udfs.captioner.beam_search import Decoder, Search
from udfs.captioner.model import load_captioner
from udfs.captioner.vocabulary import Vocabulary
from udfs.explain.feature_maps import draw_feature_maps, draw_filters, feature_maps_by_resolution
from udfs.explain.joined_model import JoinedModel, last_spatial_layer
from udfs.explain.overlays import SIGNED, encode_png
from udfs.explain.strip import Method, Word, draw_strip
from udfs.explain.word_explanations import (
    CURVES,
    ExplainSettings,
    Maps,
    curve_areas,
    randomisation_check,
    saliency_maps,
    word_effects,
)
from udfs.process_cache import load_once
from udfs.vision.decode import PhotoLimits, PhotoRefused
from udfs.vision.extraction_task import local_weights, rounded
from udfs.vision.extractor import Extractor, build_network, resolve_network
from udfs.vision.isolated_decoder import IsolatedDecoder

RESULT_SCHEMA = "place int, image_id string, explanation string, reason string, details string"
FILTERS = "filters.png"


@dataclass(frozen=True)
class ExplainInputs:
    """What is explained, and where the pictures are written.

    Attributes:
        extractor: The extractor that the run was trained with.
        weights_name: Name of its weights file, distributed with `SparkContext.addFile`; None for random weights.
        model: A Spark broadcast of the bytes of model.keras.
        topology: A topology that it may have besides the project's own.
        vocabulary: The captioner's vocabulary.
        search: How captions are generated.
        limits: Which photos are accepted.
        output: Path or URI of the output folder.
    """

    extractor: Extractor
    weights_name: str | None
    model: Any
    topology: str
    vocabulary: Vocabulary
    search: Search
    limits: PhotoLimits
    output: str


@dataclass(frozen=True)
class RunNetworks:
    """The networks of a run in this process."""

    model: JoinedModel
    decoder: Decoder


def explain_photos(
    inputs: ExplainInputs, settings: ExplainSettings, task_cores: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Explains photos, with one photo in memory at a time.

    Args:
        inputs: What is explained, and where the pictures are written.
        settings: How much is computed.
        task_cores: CPU cores of the task.
        batches: Rows (place, image_id, length, content, sanity). `sanity`: whether the randomisation check is made.

    Yields:
        Rows of RESULT_SCHEMA. `explanation` is the JSON object that `explain_photo` returns; a refused photo has none, but a
        reason and details.
    """
    for batch in batches:
        for row in batch.to_pylist():
            explanation, refused = None, None
            networks = load_once(
                _load_networks,
                inputs.extractor,
                local_weights(inputs.weights_name),
                inputs.model.value,
                inputs.topology,
                inputs.vocabulary.max_length,
                inputs.search,
                task_cores=task_cores,
            )
            try:
                photo = _decode(row, networks.model.size, inputs.limits, inputs.extractor.resize)
                explanation = json.dumps(
                    explain_photo(networks, inputs, settings, row["image_id"], photo, row["sanity"])
                )
            except PhotoRefused as error:
                refused = error
            texts = [row["image_id"], explanation, refused and refused.reason, refused and refused.details]
            columns = [pa.array([row["place"]], pa.int32()), *(pa.array([text], pa.string()) for text in texts)]
            names = ["place", "image_id", "explanation", "reason", "details"]
            yield pa.RecordBatch.from_arrays(columns, names=names)


def explain_photo(
    networks: RunNetworks,
    inputs: ExplainInputs,
    settings: ExplainSettings,
    image_id: str,
    photo: np.ndarray,
    with_check: bool,
) -> dict:
    """Captions a photo, explains the caption and writes the pictures.

    Args:
        networks: The run's networks.
        inputs: The vocabulary, and where the pictures are written.
        settings: How much is computed.
        image_id: The photo's name.
        photo: float32 (height, width, 3) from 0 to 255.
        with_check: Whether the maps are compared with those of random weights.

    Returns:
        JSON values: the caption, the names of the pictures, and the figures of each word.
    """
    model, stem = networks.model, file_stem(image_id)
    _write_network_pictures(model, inputs, image_id, photo)
    feature = rounded(model.features(photo[None]).numpy())  # as those that the run was trained on
    caption = np.array(networks.decoder.captions(feature)[0], "int32")
    texts = [inputs.vocabulary.tokens[token] for token in caption]
    text = inputs.vocabulary.text(caption)
    result: dict[str, Any] = {"image": image_id, "caption": text, "feature_maps": f"{stem}-features.png"}
    if not texts:
        return {**result, "strip": None, "words": []}
    maps = saliency_maps(model, photo, caption, settings)
    words = _words(texts, *word_effects(model, photo, caption))
    strip = draw_strip(photo, image_id, words, _methods(model, maps, settings))
    files.write_bytes(f"{inputs.output}/{stem}.png", encode_png(strip))
    areas = curve_areas(model, photo, caption, maps, settings)
    result |= {"strip": f"{stem}.png", "words": [_figures(word, areas, t) for t, word in enumerate(words)]}
    if with_check:
        result["randomised"] = randomisation_check(model, photo, caption, maps, settings)
    return result


def file_stem(image_id: str) -> str:
    """Returns a file name without suffix for any photo name: its letters, digits, - and _, and a hash of the whole name."""
    harmless = re.sub(r"[^A-Za-z0-9_-]+", "_", image_id.rsplit("/", 1)[-1].rsplit(".", 1)[0]).strip("_-")[:60]
    return f"{harmless or 'photo'}-{hashlib.sha256(image_id.encode(errors='surrogatepass')).hexdigest()[:8]}"


def _load_networks(
    extractor: Extractor, weights_file: str | None, model: bytes, topology: str, max_length: int, search: Search
) -> RunNetworks:
    network, _ = build_network(extractor, weights_file)
    preprocess, captioner = resolve_network(extractor.name)[1].preprocess_input, load_captioner(model, topology)
    return RunNetworks(JoinedModel(network, preprocess, captioner), Decoder(captioner, max_length, search))


def _decode(row: dict, size: tuple[int, int], limits: PhotoLimits, resize: str) -> np.ndarray:
    if row["content"] is None and row["length"]:
        raise PhotoRefused("too_many_bytes", f"{row['length']} bytes, more than corpus.max_bytes")
    return load_once(IsolatedDecoder, limits, resize).decode(row["content"] or b"", size).pixels.astype("float32")


def _write_network_pictures(model: JoinedModel, inputs: ExplainInputs, image_id: str, photo: np.ndarray) -> None:
    filters = draw_filters(model.network, model.preprocess, inputs.extractor.name)
    files.write_bytes(f"{inputs.output}/{FILTERS}", encode_png(filters))
    maps = feature_maps_by_resolution(model.network, model.preprocess, photo)
    picture = draw_feature_maps(maps, photo, image_id)
    files.write_bytes(f"{inputs.output}/{file_stem(image_id)}-features.png", encode_png(picture))


def _words(texts: list[str], probabilities: np.ndarray, photo_effects: np.ndarray, earlier: np.ndarray) -> list[Word]:
    return [
        Word(text, probabilities[t], photo_effects[t], list(zip(texts[:t], earlier[t, :t], strict=True)))
        for t, text in enumerate(texts)
    ]


def _methods(model: JoinedModel, maps: Maps, settings: ExplainSettings) -> list[Method]:
    last = last_spatial_layer(model.network)
    remarks = {
        "grad_cam": f"of {last.name}, {last.output.shape[1]} x {last.output.shape[2]}",
        "smooth_grad": f"of the pixels, {settings.smooth_samples} noisy copies",
        "occlusion": f"by squares of {settings.occlusion_patch} pixels",
    }
    methods = [
        Method("Grad-CAM", remarks["grad_cam"], maps["grad_cam"]),
        Method("SmoothGrad", remarks["smooth_grad"], maps["smooth_grad"], percentile=99.5, blur=2),
        Method("Occlusion", remarks["occlusion"], maps["occlusion"], SIGNED),
    ]
    if "attention" in maps:
        methods.append(Method("Attention", "the captioner's own weights on the photo's positions", maps["attention"]))
    return methods


def _figures(word: Word, areas: dict[str, dict[str, np.ndarray]], t: int) -> dict:
    return {
        "word": word.text,
        "probability": _rounded(word.probability),
        "photo_effect": _rounded(word.photo_effect),
        "earlier_words": [_rounded(effect) for _, effect in word.earlier],
        **{curve: {name: _rounded(of_curves[curve][t]) for name, of_curves in areas.items()} for curve in CURVES},
    }


def _rounded(value: float) -> float:
    return round(float(value), 5)
