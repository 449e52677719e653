"""The training engine's mathematics, with real worker processes and gRPC between them, on the drawn sample."""

import os
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from gang import (
    Gang,
    final_weights,
    go_on,
    history,
    in_folder,
    largest_relative_difference,
    path_of,
    stop,
    train_on_a_network_of_its_own,
    train_to_the_end,
)
from plans import with_changes

from jobs.driver.runs.training_plan import make_plan, specify_run
from udfs.captioner.model import load_captioner
from udfs.captioner.validation import BleuScorer
from udfs.engine import attempts
from udfs.engine.events import Epoch, NonRetryable, Ready
from udfs.engine.reader import Pass, read_file, worker_batches
from udfs.engine.replica import Replica
from udfs.run_folder import RunFolder


@pytest.fixture(scope="module")
def plan(delta_pipeline):
    """Three epochs of 160 captions in batches of 37 over 3 shards, clipped, without dropout, in 64 bits."""
    workspace, _ = delta_pipeline
    job = workspace.job(
        "train", "model.dropout=0", "train.epochs=3", "train.batch_size=37", "train.precision=float64",
        "optimizer.clip_norm=0.05", "recovery.checkpoint_every=2", "recovery.keep_checkpoints=9",
    )  # fmt: skip
    return make_plan(job, specify_run(job))


@pytest.fixture(scope="module")
def one_worker(plan, tmp_path_factory):
    """The plan carried out by one worker."""
    found = in_folder(plan, tmp_path_factory.mktemp("one"))
    train_to_the_end(found, 1)
    return found


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_any_number_of_workers_follows_the_path_of_one(plan, one_worker, tmp_path, workers):
    assert len(plan.train.shards) == 3  # so a fourth worker finds none, and feeds batches that weigh nothing
    found = in_folder(plan, tmp_path)
    lines = train_to_the_end(found, workers)
    assert largest_relative_difference(one_worker, found) < 1e-9
    for line, alone in zip(lines, history(one_worker), strict=True):
        assert line["val_loss"] == pytest.approx(alone["val_loss"], rel=1e-12)
        assert [worker["rank"] for worker in line["workers"]] == list(range(workers))
        assert sum(worker["captions"] for worker in line["workers"]) == 160, "each caption once"


def test_clipping_acts_on_the_reduced_gradient(plan, one_worker, tmp_path):
    """The path above is one on which clipping matters."""
    unclipped = in_folder(plan, tmp_path, clip_norm=0.0, validation_bleu=False)
    train_to_the_end(unclipped, 1)
    assert largest_relative_difference(one_worker, unclipped) > 1e-6


def test_a_killed_gang_goes_on_in_mid_epoch_with_another_number_of_workers(plan, one_worker, tmp_path):
    found = in_folder(plan, tmp_path)
    with Gang(found, 2) as gang:
        gang.wait_for(0, Epoch)
        wait_until((path_of(found) / "checkpoints" / "attempt-000001-step-000000007.npz").exists)
    before = (path_of(found) / "metrics.jsonl").read_text()
    with Gang(found, 3) as gang:
        ready = gang.wait_for(0, Ready)
        assert (ready.epoch, ready.step % 2) >= (2, 0)
        gang.results()
    assert (path_of(found) / "metrics.jsonl").read_text().startswith(before)
    assert largest_relative_difference(one_worker, found) < 1e-9


def test_same_seed_and_workers_give_the_same_bits_dropout_included(plan, tmp_path):
    runs = [
        in_folder(plan, tmp_path / name, dropout=0.5, precision="float32", epochs=2, validation_bleu=False)
        for name in ("a", "b")
    ]
    runs[1] = replace(runs[1], cache_bytes=0)  # a reads each file once, b in every epoch
    assert runs[0].cache_bytes > 0
    for run in runs:
        train_to_the_end(run, 2)
    for a, b in zip(*map(final_weights, runs), strict=True):
        assert a.tobytes() == b.tobytes()


def test_one_exchange_for_several_steps_is_exactly_the_large_batch(plan, tmp_path):
    large = in_folder(plan, tmp_path / "large", batch_size=40, validation_bleu=False)
    train_to_the_end(large, 1)
    summed = in_folder(plan, tmp_path / "summed", batch_size=20, gradient_accumulation_steps=2, validation_bleu=False)
    assert summed.steps % 2 == 1, "so the last update is of one step"
    assert summed.updates == large.updates
    lines = train_to_the_end(summed, 2)
    assert largest_relative_difference(large, summed) < 1e-9
    assert [line["words"] for line in lines] == [line["words"] for line in history(large)]


def test_rows_of_the_words_that_occurred_are_the_same_gradient_in_fewer_bytes(plan, tmp_path):
    """With words' embeddings so long that the embedding is most of what travels."""
    sizes = {"embedding_dim": 512, "lstm_units": 8, "batch_size": 4}
    plans = {
        sparse: in_folder(plan, tmp_path / str(sparse), **sizes, sparse_embedding=sparse, validation_bleu=False)
        for sparse in (False, True)
    }
    sent = {sparse: bytes_sent(train_on_a_network_of_its_own(found, 2)) for sparse, found in plans.items()}
    assert largest_relative_difference(plans[False], plans[True]) < 1e-9
    assert sent[True] < 0.8 * sent[False]


def test_sums_in_16_bits_stay_near_those_in_32_in_half_the_bytes(plan, tmp_path):
    settings = {"embedding_dim": 256, "lstm_units": 64, "precision": "float32", "validation_bleu": False}
    plans = {name: in_folder(plan, tmp_path / name, **settings, dtype=name) for name in ("full", "bfloat16", "float16")}
    lines = {dtype: train_on_a_network_of_its_own(each, 2) for dtype, each in plans.items()}
    # Each worker checks after each epoch that the workers' weights are equal to the bit.
    for dtype in ("bfloat16", "float16"):
        assert lines[dtype][-1]["val_loss"] == pytest.approx(lines["full"][-1]["val_loss"], rel=0.01)
        assert lines[dtype][-1]["val_loss"] != lines["full"][-1]["val_loss"]
        assert bytes_sent(lines[dtype]) < 0.65 * bytes_sent(lines["full"])


def bytes_sent(lines: list[dict]) -> float:
    return sum(worker["sent_mb"] for line in lines for worker in line["workers"])


@pytest.mark.parametrize(("wire", "momentum"), [("full", 0.0), ("bfloat16", 0.0), ("full", 0.5)])
def test_averaged_weights_are_the_mean_of_workers_that_train_alone(plan, tmp_path, wire, momentum):
    # Plain SGD, because Adam turns a small gradient's rounding into a step of full size.
    same = {"local_sgd_steps": 3, "epochs": 2, "name": "sgd", "learning_rate": 0.5}
    found = in_folder(plan, tmp_path, **same, dtype=wire, outer_momentum=momentum, validation_bleu=False)
    lines = train_to_the_end(found, 2)
    alone = [Replica(tf.distribute.get_strategy(), with_changes(plan, **same)) for _ in range(2)]
    before = alone[0].weights()
    velocity = [np.zeros_like(weight) for weight in before]
    for epoch in (1, 2):
        parts = [batches(plan, rank, epoch) for rank in range(2)]
        for step, found_batches in enumerate(zip(*parts, strict=True), 1):
            for engine, batch in zip(alone, found_batches, strict=True):
                engine.train(batch.arrays, (0,))
            if step % 3 == 0 or step == plan.steps:
                means = [np.mean(pair, axis=0) for pair in zip(*(engine.weights() for engine in alone), strict=True)]
                moves = [mean - then for mean, then in zip(means, before, strict=True)]
                velocity = [momentum * past + move for past, move in zip(velocity, moves, strict=True)]
                means = [mean + momentum * past for mean, past in zip(means, velocity, strict=True)]
                before = means
                for engine in alone:
                    engine.restore([*means, *engine.communication.state()])
    tolerance = 1e-9 if wire == "full" else 1e-2
    for weight, mean in zip(final_weights(found), means, strict=False):
        np.testing.assert_allclose(weight, mean, rtol=0, atol=tolerance * np.abs(mean).max())
    assert sum(worker["captions"] for worker in lines[-1]["workers"]) == 160
    assert lines[-1]["words"] == lines[0]["words"]


def test_the_moving_average_is_what_is_kept(plan, tmp_path):
    found = in_folder(plan, tmp_path, epochs=1, ema_decay=0.75, validation_bleu=False)
    train_to_the_end(found, 2)
    alone = Replica(tf.distribute.get_strategy(), with_changes(plan, epochs=1, ema_decay=0.75))
    for batch in worker_batches(plan.task, plan.train, Pass(plan.batch_size, 0, 1, 1, plan.seed)):
        alone.train(batch.arrays, (0,))
    with alone.averaged_weights():
        expected = alone.weights()
    kept = load_captioner((path_of(found) / "model.keras").read_bytes()).trainable_variables
    for weight, mean in zip(kept, expected, strict=True):
        np.testing.assert_allclose(weight, mean, rtol=1e-5, atol=1e-8)
    assert max(np.abs(mean - last).max() for mean, last in zip(expected, alone.weights(), strict=True)) > 1e-4


def batches(plan, rank: int, epoch: int):
    return worker_batches(plan.task, plan.train, Pass(plan.batch_size, rank, 2, epoch, plan.seed))


@pytest.mark.parametrize("way", [{"local_sgd_steps": 2}, {"powersgd_rank": 2}])
def test_workers_with_a_state_of_their_own_go_on_in_mid_epoch_with_the_same_bits(plan, tmp_path, way):
    settings = {**way, "dropout": 0.5, "checkpoint_every": 1, "precision": "float32", "validation_bleu": False}
    quiet, killed = (in_folder(plan, tmp_path / name, **settings) for name in ("quiet", "killed"))
    train_to_the_end(quiet, 2)
    with Gang(killed, 2) as gang:
        gang.wait_for(0, Epoch)
        wait_until((path_of(killed) / "checkpoints" / "attempt-000001-step-000000007.npz").exists)
    with Gang(killed, 2) as gang:
        assert gang.wait_for(1, Ready).epoch >= 2
        gang.results()
    for a, b in zip(final_weights(quiet), final_weights(killed), strict=True):
        assert a.tobytes() == b.tobytes()
    # What each rank alone has stands beside each checkpoint that is kept, and beside no other.
    names = {path.name for path in (path_of(quiet) / "checkpoints").iterdir()}
    kept = {name for name in names if name.endswith(".npz")}
    assert names - kept == {f"{name}.rank-{rank:06d}" for name in kept for rank in (0, 1)}


def wait_until(true, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_training_stops_early_alike_on_every_worker_and_stays_stopped(plan, tmp_path):
    found = in_folder(plan, tmp_path, epochs=50, learning_rate=0.1, clip_norm=0.0, patience=2, validation_bleu=False)
    with Gang(found, 2) as gang:
        first, second = gang.results()
    assert first == second
    assert first["epochs"] < 50
    assert first["epochs"] == first["best_epoch"] + 2
    with Gang(found, 2) as gang:
        assert gang.results() == [first, first]
    assert len(history(found)) == first["epochs"]


def test_a_training_begins_with_the_frequencies_of_its_captions(delta_pipeline, plan):
    """The loss of the first step is then about the words' entropy, far below that of even odds."""
    workspace, _ = delta_pipeline
    job = workspace.job("train", "model.initial_bias=frequencies", "train.precision=float64")
    counted = make_plan(job, specify_run(job)).task.token_counts
    rows = job.warehouse.table("tokens").read().where("split = 'train'").collect()
    words = Counter(token for row in rows for token in row.token_ids[1:])
    assert counted == tuple(words[token] for token in range(plan.task.shape.vocabulary_size))
    shares = np.array([count for count in counted if count]) / sum(counted)
    for counts, about in ((counted, -(shares * np.log(shares)).sum()), ((), np.log(plan.task.shape.vocabulary_size))):
        engine = Replica(tf.distribute.get_strategy(), with_changes(plan, token_counts=counts))
        batch = next(worker_batches(plan.task, plan.train, Pass(plan.batch_size, 0, 1, 1, plan.seed)))
        assert engine.train(batch.arrays, (0,)).mean_loss == pytest.approx(about, rel=0.1)


@pytest.mark.parametrize("beam_width", [1, 3])
def test_bleu_may_choose_the_epoch(plan, tmp_path, beam_width):
    chosen = {"monitor": "bleu4", "precision": "float32", "validation_beam_width": beam_width}
    found = in_folder(plan, tmp_path, learning_rate=0.02, **chosen)
    with Gang(found, 2) as gang:
        result = gang.results()[0]
    scores = [line["bleu4"] for line in history(found)]
    assert result["best_epoch"] == scores.index(max(scores)) + 1
    assert result["bleu4"] == max(scores)
    kept = load_captioner((path_of(found) / "model.keras").read_bytes())
    scorer = BleuScorer(kept, plan.task.width - 1, beam_width)
    counts = scorer.count(read_file(plan.task, file) for file in plan.validation.files_of(0, 1))
    assert result["bleu4"] == scorer.scores(counts)["bleu4"]


def test_ranks_and_steps_draw_different_masks(plan):
    engine = Replica(tf.distribute.get_strategy(), with_changes(plan, dropout=0.5, precision="float32"))
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
        gang.wait_for(0, Epoch)
        stop(gang.processes[0])
        attempts.begin(RunFolder(found.run_folder), 1, {"host": "another"})
        stopped = written(found)
        go_on(gang.processes[0])
        event = gang.wait_for(0, NonRetryable)
    assert event.why == "superseded"
    assert "attempt 2 holds the run" in event.error
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
    found = in_folder(plan, tmp_path, learning_rate=1e200, clip_norm=0.0, name="sgd")
    with Gang(found, 1) as gang:
        event = gang.wait_for(0, NonRetryable)
    assert event.why == "input"
    assert event.error.startswith("optimizer.learning_rate: found 1e+200")
