"""Words a second: an epoch of a gang of one or two workers against plain Keras `fit`, same model, batch size and captions."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import SMALL_NETWORK, Workspace, spark_submit
from keras_merge import keras_merge

from jobs.driver.runs.training_plan import split_files
from udfs.captioner.shape import CaptionerShape
from udfs.captioner.training import CaptionerTask
from udfs.engine.reader import read_file

FLICKR8K = Path(os.environ.get("FLICKR8K", "../shared/flickr8k"))
BATCH = 256


@pytest.fixture(scope="module")
def flickr8k(spark, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("flickr8k")
    if not FLICKR8K.is_dir():
        pytest.skip(f"no photos in {FLICKR8K}; name them with FLICKR8K")
    (tmp_path / "corpus").symlink_to(FLICKR8K.resolve())
    settings = [*SMALL_NETWORK, "text.min_count=5", "text.max_length=34", f"train.batch_size={BATCH}", "train.epochs=3"]
    workspace = Workspace(tmp_path, settings)
    for name in ("extract_features", "tokenize_captions", "build_examples"):
        workspace.run(name)
    return workspace


class Captions(keras.utils.PyDataset):
    """Shuffled batches, each cut to its longest caption: what a careful plain program feeds."""

    def __init__(self, tokens, photo, rows):
        super().__init__()
        self.tokens, self.photo, self.rows = tokens, photo, rows
        self.order = np.random.default_rng(0).permutation(len(tokens))

    def __len__(self):
        return -(-len(self.order) // BATCH)

    def __getitem__(self, number):
        chosen = self.order[number * BATCH : (number + 1) * BATCH]
        tokens = self.tokens[chosen]
        tokens = tokens[:, : (tokens != 0).sum(axis=1).max()]
        targets = tokens[:, 1:]
        return (tokens[:, :-1], self.photo[self.rows[chosen]]), targets, (targets != 0).astype("float32")


def plain_words_per_second(workspace, shape: CaptionerShape) -> float:
    split, task = split_files(workspace.table("examples").read(), 16)["train"], CaptionerTask(shape, width=35)
    parts = [read_file(task, file) for file in split.files_of(0, 1)]
    photo, tokens = (np.concatenate([getattr(part, name) for part in parts]) for name in ("photo", "tokens"))
    photo = photo.astype("float32")
    rows = np.repeat(np.arange(len(photo)), tokens.shape[1])
    data = Captions(tokens.reshape(-1, task.width), photo, rows)
    model = keras_merge(shape)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(data, verbose=0, epochs=1)
    started = time.monotonic()
    model.fit(data, verbose=0, epochs=1)
    return (data.tokens[:, 1:] != 0).sum() / (time.monotonic() - started)


@pytest.mark.parametrize(("workers", "threads", "window"), [(1, 2, 0), (1, 2, 25), (2, 1, 0), (2, 1, 25)])
def test_an_epoch_keeps_up_with_plain_keras(flickr8k, workers, threads, window):
    run = f"of-{workers}-{window}"
    settings = [
        f"train.workers={workers}",
        f"train.bucket_by_length={window}",
        "train.validation_bleu=false",
        f"run.id={run}",
    ]
    trained = spark_submit("train", *flickr8k.arguments(), *settings, flags=("--conf", f"spark.task.cpus={threads}"))
    assert trained.code == 0, trained.stderr
    history = [json.loads(line) for line in (flickr8k.folder / "runs" / run / "metrics.jsonl").read_text().splitlines()]
    ours = max(line["words_per_second"] for line in history[1:])
    vocabulary = json.loads((flickr8k.folder / "runs" / run / "vocabulary.json").read_text())["tokens"]
    plain = plain_words_per_second(flickr8k, CaptionerShape(len(vocabulary), (144,)))
    print(
        f"\ntraining: workers={workers} threads={threads} bucket_by_length={window}: {ours:.0f} words/s, "
        f"{plain:.0f} with Keras fit, ratio {ours / plain:.2f}"
    )
    assert ours / plain >= 0.8
