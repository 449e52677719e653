"""Generates captions by beam search, a batch of photos at a time; the captioner's state is carried from word to word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from udfs.captioner.model import load_captioner
from udfs.captioner.text import END, PADDING, START, UNKNOWN
from udfs.captioner.vocabulary import Vocabulary
from udfs.process_cache import load_once
from udfs.vision.features import feature_rows

if TYPE_CHECKING:
    from udfs.captioner.topologies.base import Captioner

NEVER_GENERATED = (PADDING, START, UNKNOWN)


@dataclass(frozen=True)
class Search:
    """How captions are generated.

    Each step keeps the `beam_width` best among the finished hypotheses and all continuations of the others by one word. Ties
    are broken in favour of the continuation of the better hypothesis, then of the lower token id.

    Attributes:
        beam_width: The number of hypotheses kept. 1 is greedy decoding, whatever the length penalty.
        length_penalty: The exponent of the length that scores are divided by: a hypothesis's score is its sum of
            log-probabilities / length ** length_penalty. The length is the number of words, including the end token
            (Wu et al., 2016, "Google's neural machine translation system", section 7, without its constants).
        no_repeat_ngram_size: Forbids a word that would repeat an n-gram of this size in its hypothesis; 0 forbids none
            (Paulus et al., 2017, "A deep reinforced model for abstractive summarization", section 2.5).
    """

    beam_width: int = 1
    length_penalty: float = 0.7
    no_repeat_ngram_size: int = 0


GREEDY = Search()


class Decoder:
    """Captions photos with a captioner. It reads the captioner's weights at each call, so it can be used during training.

    The padding, start and unknown tokens are never generated.

    Args:
        captioner: A model built by `udfs.captioner.model.build_captioner`.
        max_length: The largest number of words in a caption.
        search: How captions are generated.
    """

    def __init__(self, captioner: Captioner, max_length: int, search: Search = GREEDY):
        import tensorflow as tf

        shape, dtype = captioner.shape, captioner.variable_dtype
        self._captioner, self._max_length, self._search, self._dtype = captioner, max_length, search, dtype
        self._forbidden = np.zeros(shape.vocabulary_size, dtype)  # added to the logits
        self._forbidden[list(NEVER_GENERATED)] = -np.inf
        signature = [tf.TensorSpec((None, *shape.feature_shape), dtype)]
        self._decode = tf.function(self._beam_search, input_signature=signature)

    def captions(self, photo: np.ndarray) -> list[list[int]]:
        """Returns one caption per photo: the token ids of its words, without the end token.

        Args:
            photo: The photos' features, (photos, *feature shape).
        """
        return self.scored_captions(photo)[0]

    def scored_captions(self, photo: np.ndarray) -> tuple[list[list[int]], np.ndarray]:
        """Returns the captions as `captions` does, and their scores: float (photos,), in nats."""
        photo = photo.reshape(-1, *self._captioner.shape.feature_shape)
        rows, scores = self._decode(photo.astype(self._dtype, copy=False))
        captions = [[int(token) for token in row if token not in (PADDING, END)] for row in rows.numpy()]
        return captions, scores.numpy()

    def _beam_search(self, photo):
        """(words int32 (photos, max_length), padded; scores (photos,)) of each photo's best hypothesis.

        Tensors have the shape (photos, beam), best first, or (photos * beam,) where layers work on them.
        """
        import tensorflow as tf

        width, penalty = self._search.beam_width, lambda length: length**self._search.length_penalty
        count = tf.shape(photo)[0]
        rows = count * width
        encoded = tuple(tf.repeat(part, width, axis=0) for part in self._captioner.encode(photo))
        state = self._captioner.start(encoded)
        token, words = tf.fill([rows], START), tf.fill([rows, self._max_length], PADDING)
        # The search starts with one hypothesis; the score of the others makes them lose.
        total = tf.tile(tf.constant([[0.0] + [-np.inf] * (width - 1)], self._dtype), (count, 1))
        score, length, done = total, tf.zeros_like(total), tf.zeros_like(total, tf.bool)
        for step in tf.range(self._max_length):
            hidden, state = self._captioner.step(token, state, encoded)
            logits = tf.cast(self._captioner.logits(hidden), self._dtype)
            word, gain = self._continuations(logits, words, step, tf.reshape(done, (rows, 1)))
            length = tf.where(done, length, tf.cast(step + 1, self._dtype))
            totals = total[:, :, None] + tf.reshape(gain, (count, width, -1))
            scores = totals / penalty(length)[:, :, None]
            score, chosen = tf.math.top_k(tf.reshape(scores, (count, -1)), width)
            total = tf.gather(tf.reshape(totals, (count, -1)), chosen, batch_dims=1)
            token = tf.gather(tf.reshape(word, (count, -1)), chosen, batch_dims=1)
            parent = chosen // tf.shape(word)[1]
            length = tf.gather(length, parent, batch_dims=1)
            done = tf.gather(done, parent, batch_dims=1) | (token == END)
            token, row = tf.reshape(token, [-1]), tf.reshape(parent + tf.range(count)[:, None] * width, [-1])
            words = tf.where(tf.range(self._max_length) == step, token[:, None], tf.gather(words, row))
            state = tuple(tf.gather(part, row) for part in state)
            # Sums of log-probabilities only decrease, so this bounds the score that an unfinished hypothesis can reach.
            bound = tf.where(done, score, total / penalty(float(self._max_length)))
            if tf.reduce_all(done[:, 0] & (tf.reduce_max(bound, axis=1) <= score[:, 0])):
                break
        return tf.reshape(words, (count, width, self._max_length))[:, 0], score[:, 0]

    def _continuations(self, logits, words, step, done):
        """(words, log-probabilities) of the k best next words, each (rows, k); finished rows continue with padding."""
        import tensorflow as tf

        k = min(self._search.beam_width, len(self._forbidden))
        normaliser = tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
        logits = logits + self._forbidden
        size = self._search.no_repeat_ngram_size
        if 0 < size <= self._max_length:
            logits = _without_repeated_ngrams(logits, words, step, size)
        best, word = tf.math.top_k(logits, k)  # of equal logits, the lower index comes first
        unchanged = tf.constant([[0.0] + [-np.inf] * (k - 1)], self._dtype)
        return tf.where(done, PADDING, word), tf.where(done, unchanged, best - normaliser)


def caption_photos(
    model, topology: str, vocabulary: Vocabulary, search: Search, task_cores: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Captions photos in a Spark task.

    Args:
        model: A Spark broadcast of the bytes of model.keras.
        topology: A topology that is accepted besides the project's own.
        vocabulary: The captioner's vocabulary.
        search: How captions are generated.
        task_cores: CPU cores of the task.
        batches: Rows (image_id, feature, feature_shape).

    Yields:
        Rows (image_id, hypothesis); a hypothesis is the text of a caption.
    """
    for batch in batches:
        if not batch.num_rows:
            continue
        decoder = load_once(_load_decoder, model.value, topology, vocabulary.max_length, search, task_cores=task_cores)
        captions = decoder.captions(feature_rows(batch))
        hypotheses = [vocabulary.text(caption) for caption in captions]
        yield pa.RecordBatch.from_arrays(
            [batch.column("image_id"), pa.array(hypotheses, pa.string())], names=["image_id", "hypothesis"]
        )


def _load_decoder(model: bytes, topology: str, max_length: int, search: Search) -> Decoder:
    return Decoder(load_captioner(model, topology), max_length, search)


def _without_repeated_ngrams(logits, words, step, size: int):
    """The logits (rows, vocabulary), with -inf for each word that would repeat an n-gram of `size` words of its row.

    words: int32 (rows, max_length), of which the first `step` columns are filled.
    """
    import tensorflow as tf

    count = words.shape[1] - size + 1  # n-grams in a row
    last = words[:, size - 1 :]  # the last word of each n-gram
    repeats = tf.range(size - 1, words.shape[1])[None, :] < step
    for place in range(size - 1):
        current = words[:, tf.maximum(step - (size - 1) + place, 0)][:, None]
        repeats = repeats & (words[:, place : place + count] == current)
    repeats = repeats & tf.ones_like(last, tf.bool)
    ngrams = tf.where(repeats)
    places = tf.stack([tf.cast(ngrams[:, 0], tf.int32), tf.gather_nd(last, ngrams)], axis=1)
    never = tf.fill([tf.shape(places)[0]], tf.constant(-np.inf, logits.dtype))
    return tf.tensor_scatter_nd_update(logits, places, never)
