"""What is found out about one caption of one photo: maps of each word, figures that check the maps, the words' own figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from udfs.explain.earlier_words import leave_one_out
from udfs.explain.faithfulness import area, cell_order, curves, mean_colour, random_orders, rank_correlation
from udfs.explain.joined_model import Sight
from udfs.explain.randomised import STAGES, randomised
from udfs.explain.saliency import enlarge, grad_cam, occlusion, smooth_grad

METHODS = ("grad_cam", "smooth_grad", "occlusion")
CURVES = ("deletion", "insertion")
GRADIENT_SHARE = 8  # a backward pass keeps all activations, so its batches are so many times smaller

Maps = dict[str, np.ndarray]  # {method: float32 (words, height, width)}


@dataclass(frozen=True)
class Effort:
    """How much is computed for a photo; the fields are those of the configuration's section `explain`."""

    smooth_samples: int
    smooth_noise: float
    occlusion_patch: int
    occlusion_stride: int
    curve_steps: int
    random_orders: int
    batch_size: int
    seed: int


def saliency_maps(sight: Sight, photo: np.ndarray, caption: np.ndarray, effort: Effort) -> Maps:
    """The maps of every method, of each word's logit. photo: float32 (height, width, 3). caption: int32 (words,)."""
    maps, gradients = (found.numpy() for found in sight.maps_and_gradients(photo[None], caption))
    slopes, logits = bound(sight.pixel_gradients, caption), bound(sight.logits, caption)
    small, fill = max(1, effort.batch_size // GRADIENT_SHARE), mean_colour(photo)
    return {
        "grad_cam": enlarge(grad_cam(maps[0], gradients[:, 0]), photo.shape[:2]),
        "smooth_grad": smooth_grad(slopes, photo, effort.smooth_samples, effort.smooth_noise, small, effort.seed),
        "occlusion": occlusion(logits, photo, effort.occlusion_patch, effort.occlusion_stride, fill, effort.batch_size),
    }


def faithfulness(sight: Sight, photo: np.ndarray, caption: np.ndarray, maps: Maps, effort: Effort) -> dict[str, Maps]:
    """Areas under the curves of each word's probability: {method or "random": {curve: (words,)}}.

    Each word is judged by its own map; `random` is the mean of random orders.
    """
    count = len(caption)
    orders = [cell_order(each) for method in METHODS for each in maps[method]]
    orders += random_orders(effort.random_orders, effort.seed)
    log_probabilities = bound(sight.log_probabilities, caption)
    found = curves(
        lambda photos: np.exp(log_probabilities(photos)), photo, orders, effort.curve_steps, effort.batch_size
    )
    areas = {name: area(curve) for name, curve in found.items()}  # (orders, words)
    result = {}
    for number, method in enumerate(METHODS):
        own = slice(number * count, (number + 1) * count)
        result[method] = {name: np.diagonal(areas[name][own]) for name in CURVES}
    return {**result, "random": {name: areas[name][len(METHODS) * count :].mean(axis=0) for name in CURVES}}


def sanity(
    sight: Sight, photo: np.ndarray, caption: np.ndarray, maps: Maps, effort: Effort
) -> dict[str, dict[str, float]]:
    """Rank correlation of the maps with those of randomised weights, mean of the words: {stage: {method: correlation}}."""
    result = {}
    for stage, share in STAGES.items():
        with randomised(sight, share, effort.seed):
            others = saliency_maps(sight, photo, caption, effort)
        pairs = {method: zip(maps[method], others[method], strict=True) for method in METHODS}
        result[stage] = {
            name: float(np.mean([rank_correlation(*pair) for pair in each])) for name, each in pairs.items()
        }
    return result


def word_figures(sight: Sight, photo: np.ndarray, caption: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(probability, photo effect, effect of each earlier word) of the words: (words,), (words,) and (words, words).

    Effects are differences of log-probabilities, in nats: with the photo less with a plain picture of its mean colour, and
    with the earlier word less without it.
    """
    plain = np.broadcast_to(mean_colour(photo), photo.shape)
    pair = np.stack([photo, plain]).astype("float32")
    seen, unseen = sight.log_probabilities(pair, caption).numpy()
    earlier = leave_one_out(sight.speak, caption.tolist(), sight.features(photo[None]).numpy()[0])
    return np.exp(seen), seen - unseen, earlier


def bound(function: Callable, caption: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """One of a Sight's functions of (pixels, caption), as one of pixels, in numpy."""
    return lambda photos: function(np.asarray(photos, "float32"), caption).numpy()
