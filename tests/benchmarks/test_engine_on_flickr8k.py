"""Exactness and recovery of the training engine on real photos and captions, as the tables of docs/engine.md.

pytest -s tests/benchmarks/test_engine_on_flickr8k.py
"""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
from conftest import Workspace
from gang import final_weights, in_folder, path_of, train_to_the_end

from jobs.driver.gang.launcher import run_gang
from jobs.driver.gang.lease import Lease
from jobs.driver.runs.training_plan import make_plan, specify_run
from udfs.engine.events import Event, Ready, Started, Step
from udfs.run_folder import RunFolder

FOUR_EPOCHS = ["train.batch_size=32", "train.epochs=4"]  # 1,600 captions: 50 steps each
EVERY = 40


def plan_of(workspace: Workspace, name: str, *overrides: str):
    job = workspace.job("train", *FOUR_EPOCHS, *overrides)
    return in_folder(make_plan(job, specify_run(job)), workspace.folder / "runs" / name)


def differences(one, other) -> tuple[float, float]:
    """The largest difference relative to a variable's largest weight, and relative to the weight itself."""
    of_largest, of_itself = 0.0, 0.0
    for a, b in zip(final_weights(one), final_weights(other), strict=True):
        a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
        distance = np.abs(a - b)
        of_largest = max(of_largest, float(distance.max() / max(np.abs(a).max(), 1e-30)))
        of_itself = max(of_itself, float((distance / np.maximum(np.abs(a), 1e-12)).max()))
    return of_largest, of_itself


@pytest.mark.parametrize(
    ("precision", "rate", "bound"), [("float64", 1e-3, 1e-9), ("float32", 1e-4, 1e-4), ("float32", 1e-3, None)]
)
def test_exactness_over_200_steps(real_photos, precision, rate, bound):
    overrides = [f"train.precision={precision}", f"optimizer.learning_rate={rate}", "model.dropout=0"]
    plans = {n: plan_of(real_photos, f"{precision}-{rate}-{n}", *overrides) for n in (1, 2, 3, 4)}
    assert plans[1].steps * plans[1].epochs == 200
    print(
        f"\n| {precision}, learning rate {rate:g} | of a variable's largest weight | of the weight itself |\n|---|---|---|"
    )
    for workers, plan in plans.items():
        lines = train_to_the_end(plan, workers)
        assert all(sum(worker["captions"] for worker in line["workers"]) == 1600 for line in lines)
        if workers > 1:
            found = differences(plans[1], plan)
            print(f"| {workers} workers | {found[0]:.1e} | {found[1]:.1e} |", flush=True)
            assert bound is None or found[0] < bound


class Harm:
    """One signal to one worker in the middle of the third epoch; notes when training stood still and moved again."""

    def __init__(self, rank: int, what: signal.Signals):
        self.rank, self.what = rank, what
        self.pids, self.at, self.reached, self.back, self.began = {}, None, 0, None, None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.pids[event.rank] = event.pid
        elif event.rank == 0 and isinstance(event, Ready) and self.at:
            self.began = place(event)
        elif event.rank == 0 and isinstance(event, Step):
            if self.at and self.began is not None and self.back is None:
                self.back = time.monotonic() - self.at
            if not self.at:
                self.reached = place(event)
                if event.epoch == 3 and 5 < event.step < 45:
                    self.at = time.monotonic()
                    os.kill(self.pids[self.rank], self.what)


def place(event: Ready | Step) -> int:
    return (event.epoch - 1) * 50 + event.step


def test_recovery(real_photos):
    overrides = [f"recovery.checkpoint_every={EVERY}", "recovery.stall_timeout=8", "recovery.restart_pause=1"]
    job = real_photos.job("train", *FOUR_EPOCHS, *overrides)
    quiet = plan_of(real_photos, "quiet", *overrides)
    with Lease(RunFolder(quiet.run_folder), 60, False) as lease:
        run_gang(job.spark, quiet, job.settings, lease, lambda event: None)
    print("\n| harm | seconds to the next step | steps redone | final weights |\n|---|---|---|---|")
    for name, harm in {
        "a worker killed": Harm(1, signal.SIGKILL),
        "the chief killed": Harm(0, signal.SIGKILL),
        "a worker stopped": Harm(1, signal.SIGSTOP),
    }.items():
        plan = plan_of(real_photos, name.replace(" ", "-"), *overrides)
        with Lease(RunFolder(plan.run_folder), 60, False) as lease:
            run_gang(job.spark, plan, job.settings, lease, harm)
        same = all(a.tobytes() == b.tobytes() for a, b in zip(final_weights(quiet), final_weights(plan), strict=True))
        redone = harm.reached - harm.began
        print(f"| {name} | {harm.back:.1f} | {redone} | {'the same bits' if same else 'differ'} |", flush=True)
        assert same
        assert redone <= EVERY
    assert path_of(quiet).exists()
