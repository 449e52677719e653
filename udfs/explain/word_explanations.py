"""Explains the caption of one photo: saliency maps of each word, checks of the maps, and effects of photo and earlier words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from udfs.errors import InputError
from udfs.explain.earlier_words import leave_one_out
from udfs.explain.faithfulness import (
    area_under_curve,
    cell_order,
    deletion_and_insertion,
    mean_colour,
    random_orders,
    rank_correlation,
)
from udfs.explain.joined_model import JoinedModel
from udfs.explain.randomised import STAGES, randomised_weights
from udfs.explain.saliency import grad_cam, occlusion, resize_maps, smooth_grad

CURVES = ("deletion", "insertion")
# A backward pass keeps all activations, so its batches are smaller by this factor.
GRADIENT_BATCH_DIVISOR = 8

Maps = dict[str, np.ndarray]  # {method: float32 (words, height, width)}


@dataclass(frozen=True)
class ExplainSettings:
    """How much is computed for a photo. The fields are those of the configuration's section `explain`.

    Attributes:
        smooth_samples: Noisy copies that SmoothGrad averages over.
        smooth_noise: The standard deviation of their noise, as a share of the photo's range of values.
        occlusion_patch: Side of the squares that occlusion hides, in pixels.
        occlusion_stride: Distance between neighbouring squares, in pixels.
        curve_steps: Steps of the deletion and insertion curves.
        random_orders: Random maps that the curves are compared with.
        batch_size: Photos per forward pass.
        seed: Seed of noise, random maps and random weights.
    """

    smooth_samples: int
    smooth_noise: float
    occlusion_patch: int
    occlusion_stride: int
    curve_steps: int
    random_orders: int
    batch_size: int
    seed: int


def saliency_maps(model: JoinedModel, photo: np.ndarray, caption: np.ndarray, settings: ExplainSettings) -> Maps:
    """Computes the maps of each word's logit by every method, and the captioner's attention if it has one.

    Args:
        model: The model to be explained.
        photo: float32 (height, width, 3) from 0 to 255.
        caption: Token ids, int32 (words,).
        settings: How much is computed.

    Returns:
        {method: float32 (words, height, width)}: `grad_cam`, `smooth_grad`, `occlusion`, and `attention` if the topology
        returns `word_maps`.
    """
    maps, gradients = (values.numpy() for values in model.maps_and_gradients(photo[None], caption))
    pixel_gradients, logits = bind_caption(model.pixel_gradients, caption), bind_caption(model.logits, caption)
    small_batch = max(1, settings.batch_size // GRADIENT_BATCH_DIVISOR)
    return {
        "grad_cam": resize_maps(grad_cam(maps[0], gradients[:, 0]), photo.shape[:2]),
        "smooth_grad": smooth_grad(
            pixel_gradients, photo, settings.smooth_samples, settings.smooth_noise, small_batch, settings.seed
        ),
        "occlusion": occlusion(
            logits, photo, settings.occlusion_patch, settings.occlusion_stride, mean_colour(photo), settings.batch_size
        ),
        **attention_maps(model, photo, caption),
    }


def attention_maps(model: JoinedModel, photo: np.ndarray, caption: np.ndarray) -> Maps:
    """Computes {"attention": the captioner's `word_maps` in the photo's size}, or {} if its topology has none.

    Args:
        model, photo, caption: As in `saliency_maps`.

    Raises:
        InputError: The topology returned an array of another shape.
    """
    weights = model.word_maps(photo[None], caption)
    if weights is None:
        return {}
    if len(weights.shape) != 4 or weights.shape[:2] != (1, len(caption)):
        raise InputError(
            f"model.topology: found an array {list(weights.shape)} from word_maps of {type(model.captioner).__name__} for one "
            f"caption of {len(caption)} tokens, expected [1, {len(caption)}, rows, columns]; correct the topology"
        )
    return {"attention": resize_maps(weights.numpy()[0], photo.shape[:2])}


def curve_areas(
    model: JoinedModel, photo: np.ndarray, caption: np.ndarray, maps: Maps, settings: ExplainSettings
) -> dict[str, dict[str, np.ndarray]]:
    """Computes the areas under the deletion and insertion curves of each word's probability.

    Args:
        model, photo, caption, settings: As in `saliency_maps`.
        maps: The maps to be checked. The curves of a word follow the word's own map.

    Returns:
        {method or "random": {curve: (words,)}}. The areas of `random` are means over random maps.
    """
    count = len(caption)
    orders = [cell_order(saliency) for of_words in maps.values() for saliency in of_words]
    orders += random_orders(settings.random_orders, settings.seed)
    log_probabilities = bind_caption(model.log_probabilities, caption)
    curves = deletion_and_insertion(
        lambda photos: np.exp(log_probabilities(photos)), photo, orders, settings.curve_steps, settings.batch_size
    )
    areas = {name: area_under_curve(values) for name, values in curves.items()}  # (orders, words)
    result = {}
    for number, method in enumerate(maps):
        orders_of_method = slice(number * count, (number + 1) * count)
        result[method] = {name: np.diagonal(areas[name][orders_of_method]) for name in CURVES}
    return {**result, "random": {name: areas[name][len(maps) * count :].mean(axis=0) for name in CURVES}}


def randomisation_check(
    model: JoinedModel, photo: np.ndarray, caption: np.ndarray, maps: Maps, settings: ExplainSettings
) -> dict[str, dict[str, float]]:
    """Compares the maps with those of a model with random weights.

    Args:
        model, photo, caption, settings: As in `saliency_maps`.
        maps: The maps of the trained model.

    Returns:
        The rank correlation of both models' maps, mean over the words: {stage: {method: correlation}}. It is low if the
        maps depend on what the model has learned.
    """
    result = {}
    for stage, share in STAGES.items():
        with randomised_weights(model, share, settings.seed):
            random_maps = saliency_maps(model, photo, caption, settings)
        pairs = {method: zip(of_words, random_maps[method], strict=True) for method, of_words in maps.items()}
        result[stage] = {
            method: float(np.mean([rank_correlation(*pair) for pair in of_words])) for method, of_words in pairs.items()
        }
    return result


def word_effects(
    model: JoinedModel, photo: np.ndarray, caption: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Computes how likely each word is, and what the photo and the earlier words add to its log-probability.

    Args:
        model, photo, caption: As in `saliency_maps`.

    Returns:
        (probabilities (words,); effects of the photo, against a plain picture of its mean colour, (words,), in nats;
        effects of the earlier words, (words, words), in nats, as in `udfs.explain.earlier_words.leave_one_out`).
    """
    plain = np.broadcast_to(mean_colour(photo), photo.shape)
    pair = np.stack([photo, plain]).astype("float32")
    with_photo, without_photo = model.log_probabilities(pair, caption).numpy()
    feature = model.features(photo[None]).numpy()[0]
    earlier = leave_one_out(model.next_word_log_probabilities, caption.tolist(), feature)
    return np.exp(with_photo), with_photo - without_photo, earlier


def bind_caption(function: Callable, caption: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Turns a function of `JoinedModel` of (pixels, caption) into a NumPy function of pixels."""
    return lambda photos: function(np.asarray(photos, "float32"), caption).numpy()
