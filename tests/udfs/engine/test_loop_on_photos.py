"""The engine's mathematics in 32 bits on real photos and captions."""

import numpy as np
import pytest
from gang import final_weights, in_folder, train_to_the_end

from jobs.driver.runs.training_plan import make_plan, specify_run
from udfs.captioner.model import build_captioner

# At 1e-3 a ReLU's input within rounding of zero sets the paths apart sooner or later; see docs/engine.md.
SETTINGS = ["train.epochs=4", "train.batch_size=32", "optimizer.learning_rate=1e-4", "model.dropout=0"]


@pytest.fixture(scope="module")
def plan(real_photos):
    job = real_photos.job("train", *SETTINGS)
    return make_plan(job, specify_run(job))


def test_after_200_steps_in_32_bits_any_number_of_workers_is_where_one_is(plan, tmp_path):
    assert plan.steps * plan.epochs == 200
    assert plan.precision == "float32"
    found = {}
    for workers in (1, 2, 3, 4):
        own = in_folder(plan, tmp_path / str(workers))
        for line in train_to_the_end(own, workers):
            assert sum(worker["captions"] for worker in line["workers"]) == 1600
        # Of the model alone: a ReLU that rounding opens here and closes there shows in one gradient, and so in Adam's mean.
        found[workers] = final_weights(own)[: len(build_captioner(plan.task.shape).trainable_variables)]
    for workers in (2, 3, 4):
        for one, other in zip(found[1], found[workers], strict=True):
            assert np.abs(one - other).max() <= 1e-4 * np.abs(one).max()
