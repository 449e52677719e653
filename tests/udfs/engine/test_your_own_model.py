"""A model that is no captioner, trained by the same gang: the example of docs/your_own_model.md, killed worker included."""

import json
import os
import signal
from pathlib import Path

import linear_regression
import numpy as np
import pytest
from conftest import ROOT
from gang import final_weights, history
from plans import with_changes
from regression_plan import COEFFICIENTS, EPOCHS, ROWS, regression_plan

import conf
from jobs.driver.gang.launcher import run_gang
from jobs.driver.gang.lease import Lease
from udfs.engine.events import Epoch, Event, Started
from udfs.engine.plan import Plan
from udfs.run_folder import RunFolder


@pytest.fixture(scope="module")
def plan(spark, tmp_path_factory) -> Plan:
    # As a user's own module reaches executors that do not have it.
    spark.sparkContext.addPyFile(linear_regression.__file__)
    return regression_plan(tmp_path_factory.mktemp("regression"))


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
