"""The captioner as the engine trains it: its examples, its loss, and BLEU on the validation photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from udfs.captioner.examples import CaptionExamples
from udfs.captioner.model import CaptionerShape, build_captioner, logits_head, set_initial_bias, training_trunk
from udfs.captioner.validation import BleuScorer
from udfs.engine.task import Batch, LossSums
from udfs.scoring.bleu import ORDERS
from udfs.vision.features import FEATURE, features_of_cells

if TYPE_CHECKING:
    import tensorflow as tf

    from udfs.keras_setup import keras

TOKENS, COUNT = "token_ids", "caption_count"


@dataclass(frozen=True)
class CaptionerTask:
    """Trains the captioner on the rows of the table `examples`: one photo with all of its captions.

    An example is a caption. A batch is (tokens, photo): tokens int32 (captions, steps + 1), padded with 0, and photo float32
    (captions, feature size).

    Attributes:
        shape: The captioner's sizes.
        width: Length of a padded caption in the table, max_length + 1.
        label_smoothing: Share of a target's probability that is spread evenly over the vocabulary (Szegedy et al., 2016).
        token_counts: Occurrences in the training captions by token_id, for the initial bias of the logits; empty for zeros.
        validation_bleu: Whether the validation photos are captioned and scored after each epoch.
        validation_beam_width: Beam width for that.
        subwords: The vocabulary by token_id if its tokens are subwords, whose captions are scored in words; otherwise empty.
        feature_shape: The shape of a photo's feature in the table: (values,), or (rows, columns, channels) of a map; empty for a
            vector of `shape.feature_size` values.
    """

    shape: CaptionerShape
    width: int
    label_smoothing: float = 0.0
    token_counts: tuple[int, ...] = ()
    validation_bleu: bool = True
    validation_beam_width: int = 1
    subwords: tuple[str, ...] = ()
    feature_shape: tuple[int, ...] = ()

    columns = (FEATURE, TOKENS, COUNT)
    metric_names = ("accuracy",)
    example_unit = "captions"
    weight_unit = "words"

    def __post_init__(self):
        if isinstance(self.shape, dict):  # as JSON values give it
            object.__setattr__(self, "shape", CaptionerShape(**self.shape))
        object.__setattr__(self, "token_counts", tuple(self.token_counts))
        object.__setattr__(self, "subwords", tuple(self.subwords))
        object.__setattr__(self, "feature_shape", tuple(self.feature_shape))

    @property
    def score_names(self) -> tuple[str, ...]:
        return tuple(f"bleu{order}" for order in ORDERS) if self.validation_bleu else ()

    def examples(self, columns: dict[str, np.ndarray]) -> CaptionExamples:
        photo = features_of_cells(columns[FEATURE], self.feature_shape or (self.shape.feature_size,))
        photo, counts = photo.reshape(len(photo), -1), columns[COUNT].astype("int64")
        tokens = columns[TOKENS].astype("int32", copy=False).reshape(len(photo), -1, self.width)
        return CaptionExamples(photo, tokens, counts)

    def join(self, parts: list[Batch]) -> Batch:
        """Joins the parts and drops the columns in which all captions are padded."""
        tokens, photo = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        longest = max(2, int((tokens != 0).sum(axis=1).max()))
        return tokens[:, :longest], photo

    def empty_batch(self) -> Batch:
        return np.zeros((1, 2), "int32"), np.zeros((1, self.shape.feature_size), "float32")

    def signature(self, dtype: str) -> list[tf.TensorSpec]:
        import tensorflow as tf

        return [tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, self.shape.feature_size), dtype)]

    def build_model(self) -> keras.Model:
        captioner = build_captioner(self.shape)
        if self.token_counts:
            set_initial_bias(captioner, self.token_counts)
        return captioner

    def loss_function(self, model: keras.Model) -> Callable[..., LossSums]:
        return next_word_loss(model, self.label_smoothing)

    def scorer(self, model: keras.Model) -> BleuScorer | None:
        if not self.validation_bleu:
            return None
        return BleuScorer(model, self.width - 1, self.validation_beam_width, self.subwords)


def next_word_loss(captioner: keras.Model, label_smoothing: float = 0.0) -> Callable[..., LossSums]:
    """A function of (tokens, photo, training) to the summed loss of all next-word predictions.

    Position t predicts token t + 1, unless that is padding. One pass over a caption gives the same losses as one sample per
    (prefix, next word), because an LSTM's state at t depends on tokens 0..t only. Logits are computed only for positions that
    predict a word.

    Returns:
        A function that returns the cross-entropy in nats, the number of predicted words as weight, and the correct predictions.
    """
    import tensorflow as tf

    from udfs.keras_setup import keras

    trunk, head, dtype = training_trunk(captioner), logits_head(captioner), keras.config.floatx()

    def loss(tokens: Any, photo: Any, training: bool) -> LossSums:
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        hidden = trunk(inputs, photo, training)
        is_word = targets != 0
        logits = tf.cast(head(tf.boolean_mask(hidden, is_word)), dtype)
        words = tf.boolean_mask(targets, is_word)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=words, logits=logits)
        correct = tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == words, logits.dtype)
        total, objective = tf.reduce_sum(losses), losses
        if label_smoothing:
            even = tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_mean(logits, axis=-1)
            objective = (1 - label_smoothing) * losses + label_smoothing * even
        weight = tf.cast(tf.size(words), dtype)
        return LossSums(tf.reduce_sum(objective), total, weight, (tf.reduce_sum(correct),))

    return loss
