"""Generates captions by beam search, a batch of photos at a time; the LSTM's state is carried from word to word."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from udfs.captioner.model import TRUNK_OUTPUT, logits_head
from udfs.captioner.text import END, PADDING, START, UNKNOWN
from udfs.devices import use_task_devices
from udfs.vision.features import feature_rows

NEVER_GENERATED = (PADDING, START, UNKNOWN)


@dataclass(frozen=True)
class Search:
    """How captions are searched for. A beam of 1 is greedy decoding, whatever the length exponent.

    Each step keeps the `beam_width` best of all kept hypotheses with each possible next word, finished ones among them.
    Best is the highest sum of log-probabilities / length ** `length_penalty`, the length being that in words with the
    end token (Wu et al., 2016, "Google's neural machine translation system", section 7, without its constants). Of
    equals, the one that continues the better hypothesis comes first, then the one with the lower token id.
    `no_repeat_ngram_size` n forbids a word that would repeat n words of its hypothesis, 0 none (Paulus et al., 2017, "A deep
    reinforced model for abstractive summarization", section 2.5).
    """

    beam_width: int = 1
    length_penalty: float = 0.7
    no_repeat_ngram_size: int = 0


GREEDY = Search()


class Decoder:
    """Captions photos with a captioner as it is when called, so also with one in training.

    A caption has at most `max_length` words. The padding, start and unknown tokens are never generated.
    """

    def __init__(self, captioner, max_length: int, search: Search = GREEDY):
        import tensorflow as tf

        layer, photo = captioner.get_layer, captioner.inputs[1]
        self._embedding, self._cell, self._see = layer("embedding"), layer("lstm").cell, layer("photo_dense")
        self._merge, self._head = layer(TRUNK_OUTPUT), logits_head(captioner)
        self._max_length, self._search, self._dtype = max_length, search, photo.dtype
        self._never = np.zeros(captioner.output.shape[-1], photo.dtype)
        self._never[list(NEVER_GENERATED)] = -np.inf
        signature = [tf.TensorSpec((None, photo.shape[1]), photo.dtype)]
        self._decode = tf.function(self._beam_search, input_signature=signature)

    def captions(self, photo: np.ndarray) -> list[list[int]]:
        """Token ids of one caption a photo, without the end token. photo: float (photos, feature size)."""
        return self.scored_captions(photo)[0]

    def scored_captions(self, photo: np.ndarray) -> tuple[list[list[int]], np.ndarray]:
        """The captions, and for each the score by which it is the best: float (photos,), in nats."""
        rows, scores = self._decode(photo.astype(self._dtype, copy=False))
        captions = [[int(token) for token in row if token not in (PADDING, END)] for row in rows.numpy()]
        return captions, scores.numpy()

    def _beam_search(self, photo):
        """(words int32 (photos, max_length), padded; scores (photos,)) of each photo's best hypothesis.

        Tensors are (photos, beam), best first, or (photos * beam,) where layers work on them.
        """
        import tensorflow as tf

        width, penalty = self._search.beam_width, lambda length: length**self._search.length_penalty
        count = tf.shape(photo)[0]
        lines = count * width
        seen = tf.repeat(self._see(photo), width, axis=0)
        state = [tf.zeros((lines, self._cell.units), self._cell.compute_dtype)] * 2
        token, words = tf.fill([lines], START), tf.fill([lines, self._max_length], PADDING)
        # One hypothesis to begin with; the others can only lose.
        total = tf.tile(tf.constant([[0.0] + [-np.inf] * (width - 1)], self._dtype), (count, 1))
        score, length, done = total, tf.zeros_like(total), tf.zeros_like(total, tf.bool)
        for step in tf.range(self._max_length):
            embedded = tf.identity(self._embedding(token))  # without Keras's mask, which no cell takes
            output, state = self._cell(embedded, state)
            logits = tf.cast(self._head(self._merge(output + seen)), self._dtype)
            word, gain = self._continuations(logits, words, step, tf.reshape(done, (lines, 1)))
            length = tf.where(done, length, tf.cast(step + 1, self._dtype))
            totals = total[:, :, None] + tf.reshape(gain, (count, width, -1))
            scores = totals / penalty(length)[:, :, None]
            score, chosen = tf.math.top_k(tf.reshape(scores, (count, -1)), width)
            total = tf.gather(tf.reshape(totals, (count, -1)), chosen, batch_dims=1)
            token = tf.gather(tf.reshape(word, (count, -1)), chosen, batch_dims=1)
            parent = chosen // tf.shape(word)[1]
            length = tf.gather(length, parent, batch_dims=1)
            done = tf.gather(done, parent, batch_dims=1) | (token == END)
            token, line = tf.reshape(token, [-1]), tf.reshape(parent + tf.range(count)[:, None] * width, [-1])
            words = tf.where(tf.range(self._max_length) == step, token[:, None], tf.gather(words, line))
            state = [tf.gather(part, line) for part in state]
            # A sum of log-probabilities only falls, so this is the most that an unfinished hypothesis can reach.
            reach = tf.where(done, score, total / penalty(float(self._max_length)))
            if tf.reduce_all(done[:, 0] & (tf.reduce_max(reach, axis=1) <= score[:, 0])):
                break
        return tf.reshape(words, (count, width, self._max_length))[:, 0], score[:, 0]

    def _continuations(self, logits, words, step, done):
        """(words, log-probabilities), each (lines, k): the k best next words; a finished line goes on with padding alone."""
        import tensorflow as tf

        k = min(self._search.beam_width, len(self._never))
        normaliser = tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
        logits = logits + self._never
        size = self._search.no_repeat_ngram_size
        if 0 < size <= self._max_length:
            logits = _without_repeated_ngrams(logits, words, step, size)
        best, word = tf.math.top_k(logits, k)  # of equals, the lower index first
        stay = tf.constant([[0.0] + [-np.inf] * (k - 1)], self._dtype)
        return tf.where(done, PADDING, word), tf.where(done, stay, best - normaliser)


def _without_repeated_ngrams(logits, words, step, size: int):
    """The logits (rows, vocabulary), with -inf for each word that would repeat `size` words of its row's hypothesis.

    words: int32 (rows, max_length), of which the first `step` columns are filled.
    """
    import tensorflow as tf

    count = words.shape[1] - size + 1  # n-grams that fit
    last = words[:, size - 1 :]  # the last word of each n-gram
    repeats = tf.range(size - 1, words.shape[1])[None, :] < step
    for place in range(size - 1):
        current = words[:, tf.maximum(step - (size - 1) + place, 0)][:, None]
        repeats = repeats & (words[:, place : place + count] == current)
    repeats = repeats & tf.ones_like(last, tf.bool)
    found = tf.where(repeats)
    places = tf.stack([tf.cast(found[:, 0], tf.int32), tf.gather_nd(last, found)], axis=1)
    never = tf.fill([tf.shape(places)[0]], tf.constant(-np.inf, logits.dtype))
    return tf.tensor_scatter_nd_update(logits, places, never)


@lru_cache(maxsize=1)
def _decoder(model: bytes, max_length: int, search: Search, task_cores: int) -> Decoder:
    use_task_devices(task_cores)
    return Decoder(load_captioner(model), max_length, search)


def load_captioner(model: bytes):
    """The captioner in the bytes of a model.keras, read in Keras's safe mode."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        with open(path, "wb") as stream:
            stream.write(model)
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def caption_photos(
    model, tokens: list[str], max_length: int, search: Search, task_cores: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Maps rows (image_id, feature) to (image_id, hypothesis): the words of a caption, joined by spaces.

    model: a Spark broadcast of the bytes of model.keras. tokens: the vocabulary in order of token_id.
    """
    for batch in batches:
        if not batch.num_rows:
            continue
        decoder = _decoder(model.value, max_length, search, task_cores)
        captions = decoder.captions(feature_rows(batch.column("feature")))
        hypotheses = [" ".join(tokens[token] for token in caption) for caption in captions]
        yield pa.RecordBatch.from_arrays(
            [batch.column("image_id"), pa.array(hypotheses, pa.string())], names=["image_id", "hypothesis"]
        )
