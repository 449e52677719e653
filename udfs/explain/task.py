"""Photos in, explanations out: what a task of jobs/explain.py does with each photo, and the files that it writes."""

from __future__ import annotations

import gc
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from udfs import files
from udfs.captioner.beam_search import Decoder, Search, load_captioner
from udfs.devices import use_task_devices
from udfs.explain.feature_maps import draw_feature_maps, draw_filters, telling_maps
from udfs.explain.joined_model import Sight, join, last_maps
from udfs.explain.overlays import SIGNED, png
from udfs.explain.strip import Method, Word, draw_strip
from udfs.explain.word_explanations import CURVES, Effort, Maps, faithfulness, saliency_maps, sanity, word_figures
from udfs.vision.decode import PhotoLimits, PhotoRefused, decode_photo
from udfs.vision.extraction_task import local_weights
from udfs.vision.extractor import Extractor, build_network, resolve_network

RESULT_SCHEMA = "place int, image_id string, explanation string, reason string, details string"
FILTERS = "filters.png"


@dataclass(frozen=True)
class Source:
    """What is explained and where it goes: extractor, captioner, vocabulary in order of token_id, and the output folder.

    weights_name: the extractor's weights, as the driver sent them. model: a Spark broadcast of the bytes of model.keras.
    """

    extractor: Extractor
    weights_name: str | None
    model: object
    tokens: tuple[str, ...]
    max_length: int
    search: Search
    limits: PhotoLimits
    output: str


@dataclass(frozen=True)
class Loaded:
    """The networks of a run in this Python worker."""

    sight: Sight
    decoder: Decoder
    preprocess: Callable


def explain_photos(
    source: Source, effort: Effort, cores: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Maps rows (place, image_id, length, content, sanity) to RESULT_SCHEMA, one photo in memory at a time.

    `explanation` is a JSON object, null for a photo that is refused, which has a reason. `sanity` says whether the photo is
    explained with randomised weights too. Writes the pictures into the output folder.
    """
    for batch in batches:
        for row in batch.to_pylist():
            found, refused = None, None
            loaded = _loaded(
                source.extractor, source.weights_name, source.model.value, source.max_length, source.search, cores
            )
            try:
                photo = _decoded(row, loaded.sight.size, source.limits)
                found = json.dumps(explain(loaded, source, effort, row["image_id"], photo, row["sanity"]))
            except PhotoRefused as error:
                refused = error
            texts = [row["image_id"], found, refused and refused.reason, refused and refused.details]
            columns = [pa.array([row["place"]], pa.int32()), *(pa.array([text], pa.string()) for text in texts)]
            names = ["place", "image_id", "explanation", "reason", "details"]
            yield pa.RecordBatch.from_arrays(columns, names=names)


def explain(
    loaded: Loaded, source: Source, effort: Effort, image_id: str, photo: np.ndarray, with_sanity: bool
) -> dict:
    """Explains the caption of one photo, draws the pictures, and returns what is known as JSON values."""
    sight, stem = loaded.sight, file_stem(image_id)
    seen = telling_maps(sight.network, loaded.preprocess, photo)
    filters = draw_filters(sight.network, loaded.preprocess, source.extractor.name)
    files.write_bytes(f"{source.output}/{FILTERS}", png(filters))
    files.write_bytes(f"{source.output}/{stem}-features.png", png(draw_feature_maps(seen, photo, image_id)))
    caption = np.array(loaded.decoder.captions(sight.features(photo[None]).numpy())[0], "int32")
    texts = [source.tokens[token] for token in caption]
    found = {"image": image_id, "caption": " ".join(texts), "feature_maps": f"{stem}-features.png"}
    if not texts:
        return {**found, "strip": None, "words": []}
    maps = saliency_maps(sight, photo, caption, effort)
    probabilities, photo_effects, earlier = word_figures(sight, photo, caption)
    words = [
        Word(text, probabilities[t], photo_effects[t], list(zip(texts[:t], earlier[t, :t], strict=True)))
        for t, text in enumerate(texts)
    ]
    files.write_bytes(
        f"{source.output}/{stem}.png", png(draw_strip(photo, image_id, words, _rows(sight, maps, effort)))
    )
    areas = faithfulness(sight, photo, caption, maps, effort)
    found |= {"strip": f"{stem}.png", "words": [_figures(word, areas, t) for t, word in enumerate(words)]}
    return {**found, "randomised": sanity(sight, photo, caption, maps, effort)} if with_sanity else found


def file_stem(image_id: str) -> str:
    """A file name that stays in its folder, whatever the photo is called: what is harmless of the name, and a hash of all."""
    harmless = re.sub(r"[^A-Za-z0-9_-]+", "_", image_id.rsplit("/", 1)[-1].rsplit(".", 1)[0]).strip("_-")[:60]
    return f"{harmless or 'photo'}-{hashlib.sha256(image_id.encode(errors='surrogatepass')).hexdigest()[:8]}"


@lru_cache(maxsize=1)
def _loaded(
    extractor: Extractor, weights_name: str | None, model: bytes, max_length: int, search: Search, cores: int
) -> Loaded:
    use_task_devices(cores)
    network, _ = build_network(extractor, local_weights(weights_name))
    preprocess, captioner = resolve_network(extractor.name)[1].preprocess_input, load_captioner(model)
    gc.freeze()  # as in udfs/vision/extractor.py
    return Loaded(join(network, preprocess, captioner), Decoder(captioner, max_length, search), preprocess)


def _decoded(row: dict, size: tuple[int, int], limits: PhotoLimits) -> np.ndarray:
    if row["content"] is None and row["length"]:
        raise PhotoRefused("too_many_bytes", f"{row['length']} bytes, more than corpus.max_bytes")
    return decode_photo(row["content"] or b"", size, limits).astype("float32")


def _rows(sight: Sight, maps: Maps, effort: Effort) -> list[Method]:
    last = last_maps(sight.network)
    remarks = {
        "grad_cam": f"of {last.name}, {last.output.shape[1]} x {last.output.shape[2]}",
        "smooth_grad": f"of the pixels, {effort.smooth_samples} noisy copies",
        "occlusion": f"by squares of {effort.occlusion_patch} pixels",
    }
    return [
        Method("Grad-CAM", remarks["grad_cam"], maps["grad_cam"]),
        Method("SmoothGrad", remarks["smooth_grad"], maps["smooth_grad"], percentile=99.5, blur=2),
        Method("Occlusion", remarks["occlusion"], maps["occlusion"], SIGNED),
    ]


def _figures(word: Word, areas: dict[str, Maps], t: int) -> dict:
    return {
        "word": word.text,
        "probability": _rounded(word.probability),
        "photo_effect": _rounded(word.photo_effect),
        "earlier_words": [_rounded(effect) for _, effect in word.earlier],
        **{curve: {name: _rounded(found[curve][t]) for name, found in areas.items()} for curve in CURVES},
    }


def _rounded(value: float) -> float:
    return round(float(value), 5)
