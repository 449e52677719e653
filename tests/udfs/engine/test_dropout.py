"""The engine seeds the masks of all dropout layers, also of those inside other layers."""

from dataclasses import replace

import numpy as np
import tensorflow as tf
from regression_plan import regression_plan

from udfs.captioner.shape import CaptionerShape
from udfs.captioner.training import CaptionerTask
from udfs.engine.replica import Replica

SHAPE = CaptionerShape(23, (2, 3, 7), embedding_dim=6, dropout=0.5, options={"heads": 2, "positions": 12})
TOKENS = np.array([[1, 5, 6, 7, 2], [1, 9, 2, 0, 0]], "int32")


def test_the_same_seed_gives_the_same_masks_inside_a_transformers_blocks(tmp_path):
    task = CaptionerTask(SHAPE, TOKENS.shape[1], by_photo=True, topology="transformer")
    engine = Replica(tf.distribute.get_strategy(), replace(regression_plan(tmp_path), task=task, precision="float32"))
    assert sum(dropout.rate == 0.5 for dropout in engine.dropouts) == 1 + 3 * 2
    photos = np.random.default_rng(1).normal(size=(2, 2, 3, 7)).astype("float32")

    def hidden(*seed: int) -> np.ndarray:
        engine.seed_dropout(seed)
        return engine.model.hidden(TOKENS, engine.model.encode(photos, training=True), training=True).numpy()

    np.testing.assert_array_equal(hidden(0, 1), hidden(0, 1))
    assert np.abs(hidden(0, 1) - hidden(0, 2)).max() > 0.1
