"""Generates captions: greedy decoding in batches that carries the LSTM's state from word to word."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pyarrow as pa

from udfs.captioner import TRUNK_OUTPUT, logits_head
from udfs.devices import use_task_devices
from udfs.text import END, PADDING, START, UNKNOWN


class Decoder:
    """Greedy decoding with a captioner. The padding, start and unknown tokens are never generated."""

    def __init__(self, captioner, max_length: int):
        import tensorflow as tf

        layer = captioner.get_layer
        embeddings, lstm, photo_dense = layer("embedding").embeddings, layer("lstm").cell, layer("photo_dense")
        merged, head = layer(TRUNK_OUTPUT), logits_head(captioner)
        never = np.zeros(captioner.output.shape[-1], "float32")
        never[[PADDING, START, UNKNOWN]] = -np.inf

        @tf.function(input_signature=[tf.TensorSpec((None, captioner.inputs[1].shape[1]), tf.float32)])
        def greedy(photo):
            seen = photo_dense(photo)
            count = tf.shape(photo)[0]
            state = [tf.zeros((count, lstm.units), lstm.compute_dtype)] * 2
            token, done = tf.fill([count], START), tf.zeros([count], tf.bool)
            words = tf.TensorArray(tf.int32, size=max_length)
            for step in tf.range(max_length):
                output, state = lstm(tf.gather(embeddings, token), state)
                logits = tf.cast(head(merged(output + seen)), tf.float32) + never
                token = tf.where(done, PADDING, tf.argmax(logits, axis=-1, output_type=tf.int32))
                done = done | (token == END)
                words = words.write(step, token)
                if tf.reduce_all(done):
                    break
            return tf.transpose(words.stack())

        self._greedy = greedy

    def captions(self, photo: np.ndarray) -> list[list[int]]:
        """Token ids of one caption a photo, without the end token. photo: float32 (photos, feature size)."""
        rows = self._greedy(photo).numpy()
        return [[int(token) for token in row if token not in (PADDING, END)] for row in rows]


@lru_cache(maxsize=1)
def _decoder(model: bytes, max_length: int, task_cores: int) -> Decoder:
    use_task_devices(task_cores)
    return Decoder(load_captioner(model), max_length)


def load_captioner(model: bytes):
    """The captioner in the bytes of a model.keras, read in Keras's safe mode."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        with open(path, "wb") as stream:
            stream.write(model)
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def caption_photos(
    model, tokens: list[str], max_length: int, task_cores: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Maps rows (image_id, feature) to (image_id, hypothesis): the words of a caption, joined by spaces.

    model: a Spark broadcast of the bytes of model.keras. tokens: the vocabulary in order of token_id.
    """
    decoder = _decoder(model.value, max_length, task_cores)
    for batch in batches:
        if not batch.num_rows:
            continue
        feature = batch.column("feature").flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
        captions = decoder.captions(feature.astype("float32", copy=False))
        hypotheses = [" ".join(tokens[token] for token in caption) for caption in captions]
        yield pa.RecordBatch.from_arrays(
            [batch.column("image_id"), pa.array(hypotheses, pa.string())], names=["image_id", "hypothesis"]
        )
