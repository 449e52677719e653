"""A model that is no captioner, trained by the same gang: the example of docs/your_own_model.md, killed worker included."""

import json
import os
import signal
from pathlib import Path

import linear_regression
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from gang import final_weights, history
from plans import with_changes

import conf
from jobs.driver.gang.launcher import run_gang
from jobs.driver.gang.lease import Lease
from udfs.engine.events import Epoch, Event, Started
from udfs.engine.plan import CommunicationPlan, OptimizerPlan, Plan
from udfs.engine.reader import ExampleFile, Split
from udfs.run_folder import RunFolder

COEFFICIENTS = np.array([2.0, -1.0, 0.5])
ROWS, SHARDS, EPOCHS = 400, 4, 12


def write_shards(folder: Path, rows: int, seed: int) -> Split:
    """A table of y = 2 a - b + c / 2 + 3, as one file per shard."""
    random, shards = np.random.default_rng(seed), []
    for shard in range(SHARDS):
        x = random.normal(size=(rows // SHARDS, 3))
        columns = {"x": pa.array(list(x), pa.list_(pa.float64())), "y": pa.array(x @ COEFFICIENTS + 3)}
        path = folder / f"{seed}-{shard}.parquet"
        pq.write_table(pa.table(columns), path)
        shards.append((ExampleFile(path.as_uri(), len(x), len(x)),))
    return Split(tuple(shards))


@pytest.fixture(scope="module")
def plan(spark, tmp_path_factory) -> Plan:
    folder = tmp_path_factory.mktemp("regression")
    # As a user's own module reaches executors that do not have it.
    spark.sparkContext.addPyFile(linear_regression.__file__)
    return Plan(
        run_folder="none", task=linear_regression.LinearRegression(3), train=write_shards(folder, ROWS, 1),
        validation=write_shards(folder, 80, 2), epochs=EPOCHS, batch_size=32, bucket_by_length=0,
        optimizer=OptimizerPlan(
            name="adam", momentum=0.0, nesterov=False, learning_rate=0.05, schedule="cosine", decay=1.0, clip_norm=1.0,
            l1=0.0, l2=0.0, weight_decay=0.0, ema_decay=0.0,
        ),
        communication=CommunicationPlan(
            gradient_accumulation_steps=1, local_sgd_steps=0, outer_momentum=0.0, dtype="full", powersgd_rank=0,
            sparse_embedding=False, collectives="ring",
        ),
        seed=3, precision="float64", deterministic=True, monitor="val_loss", patience=0, checkpoint_every=5,
        keep_checkpoints=3,
    )  # fmt: skip


def train(spark, plan: Plan, folder: Path, workers: int, receive=lambda event: None) -> Plan:
    plan = with_changes(plan, run_folder=f"file://{folder}")
    settings = conf.load(None, [f"train.workers={workers}", "recovery.restart_pause=0.1"])
    with Lease(RunFolder(plan.run_folder), 60, False) as lease:
        summaries = run_gang(spark, plan, settings, lease, receive)
    assert [summary["epochs"] for summary in summaries] == [EPOCHS] * workers
    return plan


class KillOneWorker:
    """Kills rank 1 after the third epoch, once."""

    def __init__(self):
        self.pids, self.attempts = {}, 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.pids[event.rank] = event.pid
            self.attempts += event.rank == 0
        elif isinstance(event, Epoch) and event.rank == 0 and event.metrics.epoch == 3 and self.attempts == 1:
            os.kill(self.pids[1], signal.SIGKILL)


def test_a_regression_has_the_same_weights_at_one_worker_and_at_two_of_which_one_was_killed(spark, plan, tmp_path):
    alone = train(spark, plan, tmp_path / "alone", 1)
    harm = KillOneWorker()
    together = train(spark, plan, tmp_path / "together", 2, harm)
    assert harm.attempts == 2, "the gang was restarted"
    for one, other in zip(final_weights(alone), final_weights(together), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    kernel, bias = final_weights(together)[:2]
    np.testing.assert_allclose(kernel[:, 0], COEFFICIENTS, atol=0.05)
    np.testing.assert_allclose(bias, [3], atol=0.05)
    lines = history(together)
    assert [line["rows"] for line in lines] == [ROWS] * EPOCHS
    assert all(sum(worker["rows"] for worker in line["workers"]) == ROWS for line in lines)
    assert lines[-1]["val_absolute_error"] < 0.1 < lines[0]["val_absolute_error"]


def test_the_page_shows_the_code_that_was_run():
    page = (ROOT / "docs" / "your_own_model.md").read_text()
    code = Path(linear_regression.__file__).read_text().split('"""', 2)[2].strip()
    indented = "\n".join(f"    {line}" if line else "" for line in code.splitlines())
    assert indented in page


def test_a_plan_survives_its_way_to_the_workers(plan):
    assert Plan.from_json(plan.to_json()) == plan
    assert json.loads(plan.to_json())["task"] == {
        "class": "linear_regression:LinearRegression", "fields": {"inputs": 3},
    }  # fmt: skip
