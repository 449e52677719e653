"""Self-critical training: a captioner learns from the scores of captions that it draws itself.

Rennie et al. (2017), "Self-critical sequence training for image captioning", with the mean reward of a photo's other samples as
the baseline (Luo, 2020, "A better variant of self-critical sequence training").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from udfs.captioner.rewards import CaptionRewards
from udfs.captioner.sampling import never_sampled, sample_captions
from udfs.captioner.text import PADDING, START
from udfs.captioner.training import CaptionerTask, next_word_losses
from udfs.engine.reader import ExampleFile, read_columns
from udfs.engine.task import LossSums

if TYPE_CHECKING:
    from udfs.captioner.topologies.base import Captioner


@dataclass(frozen=True)
class SelfCriticalTask(CaptionerTask):
    """Trains the captioner on the rewards of sampled captions, mixed with the cross-entropy of the references.

    The samples of a photo depend on seed, epoch and its place in the epoch's order, so any number of workers follows the path of
    one.

    Attributes:
        samples: Captions that are drawn of each photo, at least 2.
        temperature: By which logits are divided when captions are drawn.
        bleu_weight: What a sentence BLEU-4 of 1 earns beside CIDEr-D.
        bleu1_weight: What a sentence BLEU-1 of 1 earns besides.
        cross_entropy_weight: Share of the cross-entropy in the objective, from 0 to 1.
        reference_files: The files of the training examples, whose captions decide the document frequencies of CIDEr-D.
    """

    samples: int = 5
    temperature: float = 1.0
    bleu_weight: float = 1.0
    bleu1_weight: float = 0.0
    cross_entropy_weight: float = 0.2
    reference_files: tuple[str, ...] = ()

    metric_names = ("accuracy", "reward")
    seeded = stops_collapse = True

    def loss_function(self, model: Captioner) -> Callable[..., LossSums]:
        rewards = CaptionRewards(self._references(), self.bleu_weight, self.bleu1_weight)
        return self_critical_loss(model, self, rewards)

    def _references(self) -> list[np.ndarray]:
        """The token ids (captions, width) of each training photo."""
        found: list[np.ndarray] = []
        for uri in self.reference_files:
            tokens = read_columns(("token_ids",), ExampleFile(uri, 0, 0))["token_ids"]
            found += list(tokens.reshape(len(tokens), -1, self.width))
        return found


def self_critical_loss(
    captioner: Captioner, task: SelfCriticalTask, rewards: CaptionRewards
) -> Callable[..., LossSums]:
    """A function of (tokens, photo_of_caption, photos, seeds, training) to the sums of a batch.

    The objective is (1 - c) times the policy's part plus c times the cross-entropy of the references, with c =
    cross_entropy_weight. The policy's part is the sum over all samples of -A log p(sample), where the advantage A is the sample's
    reward minus the mean reward of the photo's other samples; its gradient is an unbiased estimate of that of the expected reward
    (Williams, 1992, "REINFORCE").

    Returns:
        A function that returns this objective, the cross-entropy as loss, the references' words as weight, the correct
        predictions, and the reward: the mean of each photo's samples times the words of its references.
    """
    import tensorflow as tf

    dtype, steps, count = captioner.variable_dtype, task.width - 1, task.samples

    def loss(tokens: Any, photo_of_caption: Any, photos: Any, seeds: Any, training: bool) -> LossSums:
        drawn = sample_captions(captioner, captioner.encode(photos), seeds, count, steps, task.temperature)
        drawn = tf.stop_gradient(drawn)
        earned = tf.numpy_function(
            lambda *arrays: rewards.of(arrays[0].reshape(-1, count, steps), *arrays[1:]).astype(dtype),
            [drawn, tokens, photo_of_caption],
            dtype,
        )
        earned = tf.reshape(earned, (-1, count))
        others = (tf.reduce_sum(earned, axis=1, keepdims=True) - earned) / (count - 1)
        encoded = captioner.encode(photos, training)
        policy = _policy_loss(captioner, encoded, drawn, tf.reshape(earned - others, [-1]), task, training)
        words = next_word_losses(captioner, encoded, tokens, photo_of_caption, training, task.label_smoothing)
        share = task.cross_entropy_weight
        lengths = tf.reduce_sum(tf.cast(tokens[:, 1:] != PADDING, dtype), axis=1)
        of_photo = tf.math.unsorted_segment_sum(lengths, photo_of_caption, tf.shape(photos)[0])
        reward = tf.reduce_sum(tf.reduce_mean(earned, axis=1) * of_photo)
        objective = (1 - share) * policy + share * words.objective
        return LossSums(objective, words.loss, words.weight, (*words.metrics, reward))

    return loss


def _policy_loss(
    captioner: Captioner, encoded: tuple, drawn: Any, advantages: Any, task: SelfCriticalTask, training: bool
) -> Any:
    """The sum of -advantage times log-probability of drawn captions (captions, steps), in one pass over them."""
    import tensorflow as tf

    encoded = tuple(tf.repeat(part, task.samples, axis=0) for part in encoded)
    inputs = tf.concat([tf.fill([tf.shape(drawn)[0], 1], START), drawn[:, :-1]], axis=1)
    is_word = drawn != PADDING
    hidden = tf.boolean_mask(captioner.hidden(inputs, encoded, training), is_word)
    logits = tf.cast(captioner.logits(hidden), captioner.variable_dtype) / task.temperature + never_sampled(captioner)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.boolean_mask(drawn, is_word), logits=logits)
    each = tf.repeat(advantages, tf.reduce_sum(tf.cast(is_word, tf.int32), axis=1))
    return tf.reduce_sum(each * losses)
