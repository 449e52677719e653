"""The training engine's mathematics, with real worker processes and gRPC between them, on the drawn sample."""

import os
import time
from dataclasses import replace

import numpy as np
import pytest
from gang import Gang, final_weights, go_on, history, in_folder, path_of, stop, train_to_the_end

from jobs.train import find_run, make_plan
from udfs import attempts


@pytest.fixture(scope="module")
def plan(delta_pipeline):
    """Three epochs of 160 captions in batches of 37 over 3 lanes, clipped, without dropout, in 64 bits."""
    workspace, _ = delta_pipeline
    job = workspace.job(
        "train", "model.dropout=0", "train.epochs=3", "train.batch_size=37", "train.precision=float64",
        "train.clip_norm=0.05", "train.checkpoint_every=2", "train.keep_checkpoints=9",
    )  # fmt: skip
    return make_plan(job, find_run(job))


@pytest.fixture(scope="module")
def one_worker(plan, tmp_path_factory):
    """The plan carried out by one worker."""
    found = in_folder(plan, tmp_path_factory.mktemp("one"))
    train_to_the_end(found, 1)
    return found


def largest_relative_difference(plan, other) -> float:
    """Of any variable, a weight's difference relative to the weight; weights that are no more than rounding count as 0."""
    largest = 0.0
    for a, b in zip(final_weights(plan), final_weights(other), strict=True):
        a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
        scale = np.maximum(np.abs(a), 1e-12)
        largest = max(largest, float(np.max(np.abs(a - b) / scale, initial=0.0)))
    return largest


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_any_number_of_workers_follows_the_path_of_one(plan, one_worker, tmp_path, workers):
    assert len(plan.train.lanes) == 3  # so a fourth worker finds none, and feeds batches that weigh nothing
    found = in_folder(plan, tmp_path)
    lines = train_to_the_end(found, workers)
    assert largest_relative_difference(one_worker, found) < 1e-9
    for line, alone in zip(lines, history(one_worker), strict=True):
        assert line["val_loss"] == pytest.approx(alone["val_loss"], rel=1e-12)
        assert [worker["rank"] for worker in line["workers"]] == list(range(workers))
        assert sum(worker["captions"] for worker in line["workers"]) == 160, "each caption once"


def test_clipping_acts_on_the_reduced_gradient(plan, one_worker, tmp_path):
    """The path above is one on which clipping matters."""
    unclipped = in_folder(plan, tmp_path, clip_norm=0.0)
    train_to_the_end(unclipped, 1)
    assert largest_relative_difference(one_worker, unclipped) > 1e-6


def test_a_killed_gang_goes_on_in_mid_epoch_with_another_number_of_workers(plan, one_worker, tmp_path):
    found = in_folder(plan, tmp_path)
    with Gang(found, 2) as gang:
        gang.wait_for(0, "epoch")
        deadline = time.monotonic() + 30
        while not (path_of(found) / "checkpoints" / "attempt-000001-step-000000007.npz").exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
    before = (path_of(found) / "metrics.jsonl").read_text()
    with Gang(found, 3) as gang:
        ready = gang.wait_for(0, "ready")
        assert (ready["epoch"], ready["step"] % 2) >= (2, 0)
        gang.results()
    assert (path_of(found) / "metrics.jsonl").read_text().startswith(before)
    assert largest_relative_difference(one_worker, found) < 1e-9


def test_same_seed_and_workers_give_the_same_bits_dropout_included(plan, tmp_path):
    shape = replace(plan.shape, dropout=0.5)
    runs = [in_folder(plan, tmp_path / name, shape=shape, precision="float32", epochs=2) for name in ("a", "b")]
    for run in runs:
        train_to_the_end(run, 2)
    for a, b in zip(*map(final_weights, runs), strict=True):
        assert a.tobytes() == b.tobytes()


def test_ranks_and_steps_draw_different_masks(plan):
    import tensorflow as tf

    from udfs.training_step import Engine

    shape = replace(plan.shape, dropout=0.5)
    engine = Engine(tf.distribute.get_strategy(), replace(plan, shape=shape, precision="float32"))
    ones = tf.ones((4, 50))

    def mask(*seed: int) -> bytes:
        engine.seed_dropout(seed)
        return engine.dropouts[0](ones, training=True).numpy().tobytes()

    masks = [mask(0, 1, 1, 0), mask(0, 1, 1, 1), mask(0, 1, 2, 0), mask(0, 2, 1, 0), mask(1, 1, 1, 0)]
    assert len(set(masks)) == len(masks)
    assert mask(0, 1, 1, 0) == masks[0]


def test_a_worker_of_an_older_attempt_cannot_write(plan, tmp_path):
    """It is stopped while the run goes to the next attempt, and then wakes up."""
    found = in_folder(plan, tmp_path, epochs=2000, checkpoint_every=0)
    with Gang(found, 1) as gang:
        gang.wait_for(0, "epoch")
        stop(gang.processes[0])
        attempts.begin(found.run_folder, 1, {"host": "another"})
        stopped = written(found)
        go_on(gang.processes[0])
        event = gang.wait_for(0, "hopeless")
    assert event["why"] == "superseded"
    assert "attempt 2 holds the run" in event["error"]
    # One move into place may have been under way when it was stopped.
    assert len(set(written(found).items()) - set(stopped.items())) <= 1


def written(plan) -> dict[str, int]:
    """When each file of the run folder was last written."""
    return {
        os.path.join(folder, name): os.stat(os.path.join(folder, name)).st_mtime_ns
        for folder, _, names in os.walk(path_of(plan))
        for name in names
        if not name.endswith(".tmp")
    }


def test_a_loss_that_is_no_number_ends_training_with_what_to_change(plan, tmp_path):
    found = in_folder(plan, tmp_path, learning_rate=1e200, clip_norm=0.0, optimizer="sgd")
    with Gang(found, 1) as gang:
        event = gang.wait_for(0, "hopeless")
    assert event["why"] == "input"
    assert event["error"].startswith("train.learning_rate: found 1e+200")
