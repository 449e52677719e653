"""The captioner as the engine trains it: its examples, its loss, and BLEU on the validation photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from udfs.captioner.examples import CaptionExamples, joined
from udfs.captioner.model import build_captioner, set_frequencies
from udfs.captioner.shape import CaptionerShape
from udfs.captioner.validation import LENGTH_RATIO, BleuScorer
from udfs.engine.task import Batch, LossSums
from udfs.scoring.bleu import ORDERS
from udfs.vision.features import FEATURE, MIRRORED, features_of_cells

if TYPE_CHECKING:
    import tensorflow as tf

    from udfs.captioner.topologies.base import Captioner, Tensors

TOKENS, COUNT = "token_ids", "caption_count"


@dataclass(frozen=True)
class CaptionerTask:
    """Trains the captioner on the rows of the table `examples`: one photo with all of its captions.

    An example is a caption, or a photo with all of its captions. A batch is (tokens, photo_of_caption, photos): tokens int32
    (captions, steps + 1), padded with 0; the place of each caption's photo, int32 (captions,); and the features, float
    (photos, *feature shape), each photo once.

    Attributes:
        shape: The captioner's sizes.
        width: Length of a padded caption in the table, max_length + 1.
        by_photo: Whether an example is a photo.
        topology: The captioner's topology, as `udfs.captioner.model.topology_of` takes it.
        label_smoothing: Share of a target's probability that is spread evenly over the vocabulary (Szegedy et al., 2016).
        token_counts: Occurrences in the training captions by token_id, for the initial bias of the logits; empty for zeros.
        validation_bleu: Whether the validation photos are captioned and scored after each epoch.
        validation_beam_width: Beam width for that.
        mirror_share: Share of the training photos that are seen mirrored, drawn anew in each pass.
        subwords: The vocabulary by token_id if its tokens are subwords, whose captions are scored in words; otherwise empty.
    """

    shape: CaptionerShape
    width: int
    by_photo: bool = False
    topology: str = "merge"
    label_smoothing: float = 0.0
    token_counts: tuple[int, ...] = ()
    validation_bleu: bool = True
    validation_beam_width: int = 1
    subwords: tuple[str, ...] = ()
    mirror_share: float = 0.0

    metric_names = ("accuracy",)
    weight_unit = "words"
    seeded = False
    stops_collapse = False

    def __post_init__(self):
        if isinstance(self.shape, dict):  # as JSON values give it
            object.__setattr__(self, "shape", CaptionerShape(**self.shape))
        object.__setattr__(self, "token_counts", tuple(self.token_counts))
        object.__setattr__(self, "subwords", tuple(self.subwords))

    @property
    def columns(self) -> tuple[str, ...]:
        return (FEATURE, TOKENS, COUNT, *([MIRRORED] if self.mirror_share else []))

    @property
    def example_unit(self) -> str:
        return "photos" if self.by_photo else "captions"

    @property
    def score_names(self) -> tuple[str, ...]:
        return (*(f"bleu{order}" for order in ORDERS), LENGTH_RATIO) if self.validation_bleu else ()

    def examples(self, columns: dict[str, np.ndarray]) -> CaptionExamples:
        photo, counts = features_of_cells(columns[FEATURE], self.shape.feature_shape), columns[COUNT].astype("int64")
        tokens = columns[TOKENS].astype("int32", copy=False).reshape(len(photo), -1, self.width)
        mirrored = features_of_cells(columns[MIRRORED], self.shape.feature_shape) if self.mirror_share else None
        return CaptionExamples(photo, tokens, counts, self.by_photo, mirrored)

    def augmented(self, examples: CaptionExamples, seed: tuple[int, ...]) -> CaptionExamples:
        return examples.with_some_mirrored(self.mirror_share, seed) if self.mirror_share else examples

    def join(self, parts: list[Batch]) -> Batch:
        return joined(parts)

    def empty_batch(self) -> Batch:
        return np.zeros((1, 2), "int32"), np.zeros(1, "int32"), self.shape.no_photo()

    def signature(self, dtype: str) -> list[tf.TensorSpec]:
        import tensorflow as tf

        captions = [tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None,), tf.int32)]
        return [*captions, tf.TensorSpec((None, *self.shape.feature_shape), dtype)]

    def build_model(self) -> Captioner:
        captioner = build_captioner(self.shape, self.topology)
        if self.token_counts:
            set_frequencies(captioner, self.token_counts)
        return captioner

    def loss_function(self, model: Captioner) -> Callable[..., LossSums]:
        return next_word_loss(model, self.label_smoothing)

    def scorer(self, model: Captioner) -> BleuScorer | None:
        if not self.validation_bleu:
            return None
        return BleuScorer(model, self.width - 1, self.validation_beam_width, self.subwords, self.stops_collapse)


def next_word_loss(captioner: Captioner, label_smoothing: float = 0.0) -> Callable[..., LossSums]:
    """A function of (tokens, photo_of_caption, photos, training) to the summed loss of all next-word predictions.

    Returns:
        A function that returns the cross-entropy in nats, the number of predicted words as weight, and the correct predictions.
    """

    def loss(tokens: Any, photo_of_caption: Any, photos: Any, training: bool) -> LossSums:
        encoded = captioner.encode(photos, training)
        return next_word_losses(captioner, encoded, tokens, photo_of_caption, training, label_smoothing)

    return loss


def next_word_losses(
    captioner: Captioner, encoded: Tensors, tokens: Any, photo_of_caption: Any, training: bool, label_smoothing: float
) -> LossSums:
    """The sums of `next_word_loss` for photos that are encoded already.

    Position t predicts token t + 1, unless that is padding. One pass over a caption gives the same losses as one sample per
    (prefix, next word), because a captioner's hidden state at t depends on tokens 0..t only. Logits are computed only for
    positions that predict a word.
    """
    import tensorflow as tf

    dtype, targets = captioner.variable_dtype, tokens[:, 1:]
    encoded = tuple(tf.gather(part, photo_of_caption) for part in encoded)
    hidden = captioner.hidden(tokens[:, :-1], encoded, training)
    is_word = targets != 0
    logits = tf.cast(captioner.logits(tf.boolean_mask(hidden, is_word)), dtype)
    words = tf.boolean_mask(targets, is_word)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=words, logits=logits)
    correct = tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == words, logits.dtype)
    total, objective = tf.reduce_sum(losses), losses
    if label_smoothing:
        even = tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_mean(logits, axis=-1)
        objective = (1 - label_smoothing) * losses + label_smoothing * even
    return LossSums(tf.reduce_sum(objective), total, tf.cast(tf.size(words), dtype), (tf.reduce_sum(correct),))
