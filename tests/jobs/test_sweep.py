"""A sweep as a command: trials side by side as Spark tasks, a killed driver, pruned and failed trials."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import QUICK_TRAINING, ROOT, SMALL_NETWORK, Workspace, spark_submit
from gang import worker_processes
from optuna import load_study
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

import conf
from jobs.driver.runs.trained_run import require_trained
from jobs.driver.sweep.space import parameters_of, parse_space
from jobs.driver.sweep.study import SweepStudy
from udfs.engine import attempts
from udfs.errors import InputError
from udfs.run_folder import RunFolder

EPOCHS = 30


@pytest.fixture(scope="module")
def tables(spark, drawn, tmp_path_factory) -> Workspace:
    """A workspace whose tables are ready for training."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "corpus").symlink_to(drawn)
    more = ["examples.shards=2", "storage.format=delta", *QUICK_TRAINING, "train.validation_bleu=false"]
    workspace = Workspace(folder, [*SMALL_NETWORK, *more, "sweep.cores=1"])
    for name in ("extract_features", "tokenize_captions", "build_examples"):
        workspace.run(name)
    return workspace


def trials(workspace: Workspace, sweep: str) -> list[FrozenTrial]:
    journal = workspace.folder / "runs" / "_sweeps" / sweep / "journal.log"
    return load_study(study_name=sweep, storage=JournalStorage(JournalFileBackend(str(journal)))).trials


def run_folder(workspace: Workspace, run: str) -> Path:
    return workspace.folder / "runs" / run


def epochs_of(workspace: Workspace, run: str) -> list[int]:
    lines = (run_folder(workspace, run) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["epoch"] for line in lines]


def statuses(workspace: Workspace) -> dict[str, str]:
    return {row.run_id: row.status for row in workspace.table("runs").read().collect()}


def wait_for_trials(workspace: Workspace, sweep: str, process: subprocess.Popen) -> None:
    """Returns once a trial has finished, and another one is in training with an epoch behind it and half of them ahead."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the sweep ended before it could be killed"
        time.sleep(0.1)
        if (workspace.folder / "runs" / "_sweeps" / sweep / "sweep.html").exists():  # written after the first trial
            running = [trial for trial in trials(workspace, sweep) if trial.state is TrialState.RUNNING]
            if any(1 <= (trial.last_step or 0) <= EPOCHS // 2 for trial in running):
                return
    pytest.fail("no trial is in training after another one has finished")


def test_a_killed_sweep_goes_on_where_it_was(tables):
    arguments = [
        *tables.arguments(), "sweep.id=killed", "sweep.trials=4", "sweep.parallel=2", "sweep.pruner=none",
        "sweep.space.optimizer.learning_rate={low: 1e-3, high: 1e-2, log: true}", "sweep.space.model.dropout=[0.0, 0.3]",
        f"train.epochs={EPOCHS}",
    ]  # fmt: skip
    command = [
        str(Path(sys.executable).parent / "spark-submit"),
        "--master",
        "local[2]",
        str(ROOT / "jobs" / "sweep.py"),
    ]
    process = subprocess.Popen(
        [*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    most_workers, deadline = 0, time.monotonic() + 120
    try:
        while most_workers < 2 and time.monotonic() < deadline and process.poll() is None:
            most_workers = max(most_workers, len(worker_processes(process.pid)))
            time.sleep(0.1)
        wait_for_trials(tables, "killed", process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert most_workers == 2, "the trials were not trained side by side"

    before = trials(tables, "killed")
    finished = [trial for trial in before if trial.state is TrialState.COMPLETE]
    interrupted = [trial for trial in before if trial.state is TrialState.RUNNING]
    assert finished
    assert interrupted

    done = spark_submit("sweep", *arguments, flags=("--master", "local[2]"))
    assert done.code == 0, done.stderr
    line = json.loads(done.stdout.splitlines()[-1])
    after = trials(tables, "killed")
    assert [trial.state for trial in after] == [TrialState.COMPLETE] * 4
    assert (line["rows_in"], line["unchanged"], line["written"]) == (4, len(finished), 4 - len(finished))
    for trial in finished:
        assert after[trial.number] == trial
    resumed = [trial for trial in interrupted if trial.last_step]
    assert resumed
    for trial in interrupted:
        assert after[trial.number].params == trial.params or not trial.params
    for trial in resumed:  # from its checkpoint: every epoch is there once, and those before the kill are the same
        run = f"killed-{trial.number:04d}"
        assert attempts.newest(RunFolder(str(run_folder(tables, run)))) == 2
        assert epochs_of(tables, run) == list(range(1, EPOCHS + 1))
        again = after[trial.number].intermediate_values
        assert {epoch: again[epoch] for epoch in trial.intermediate_values} == trial.intermediate_values

    best = min(after, key=lambda trial: trial.value)
    assert line["metrics"]["best"] == {
        "trial": best.number, "run": f"killed-{best.number:04d}", "value": best.value, "parameters": parameters_of(best),
    }  # fmt: skip
    config = tables.folder / "runs" / f"killed-{best.number:04d}" / "config.yaml"
    assert conf.load(str(config)).optimizer.learning_rate == parameters_of(best)["optimizer.learning_rate"]
    assert f"jobs/train.py --config {config} run.id=" in Path(line["metrics"]["page"]).read_text()
    for trial in after:
        require_trained(tables.job("evaluate").settings, f"killed-{trial.number:04d}")
    assert Path(line["metrics"]["page"]).read_text().count("<tr") == 5

    repeated = tables.run("sweep", *arguments)
    assert (repeated.written, repeated.unchanged) == (0, 4)
    assert trials(tables, "killed") == after


def seed_that_draws(folder: Path, space: list[str], first: float, second: float) -> int:
    """A seed with which the first two trials have these learning rates."""
    parsed = parse_space(conf.load(None, space).sweep.space)
    for seed in range(50):
        study = SweepStudy(folder / str(seed), "S", conf.schema.Sweep(seed=seed), "val_loss", parsed, {})
        drawn = []
        for _ in range(2):
            trial, parameters = study.next_trial()
            study.finish(trial, 1.0)
            drawn.append(parameters["optimizer.learning_rate"])
        if drawn == [first, second]:
            return seed
    raise AssertionError("no seed draws them")


def test_a_bad_trial_is_pruned(tables, tmp_path):
    """The first trial learns, the second one hardly does; without pruning it would train for 60 epochs."""
    space = ["sweep.space.optimizer.learning_rate=[0.01, 1e-7]"]
    seed = seed_that_draws(tmp_path, space, 0.01, 1e-7)
    outcome = tables.run(
        "sweep", *space, f"sweep.seed={seed}", "sweep.id=pruned", "sweep.trials=2", "sweep.parallel=1",
        "sweep.startup_trials=1", "sweep.warmup_epochs=2", "train.epochs=60",
    )  # fmt: skip
    good, bad = trials(tables, "pruned")
    assert (good.state, bad.state) == (TrialState.COMPLETE, TrialState.PRUNED)
    assert min(bad.intermediate_values) == 1
    assert 3 <= bad.last_step < 60
    assert (outcome.metrics["finished"], outcome.metrics["pruned"], outcome.metrics["failed"]) == (1, 1, 0)
    assert outcome.metrics["best"]["parameters"] == {"optimizer.learning_rate": 0.01}
    assert statuses(tables)["pruned-0000"] == "trained"
    assert statuses(tables)["pruned-0001"] == "pruned"
    assert run_folder(tables, "pruned-0000").exists()
    assert not run_folder(tables, "pruned-0001").exists()


def test_a_sweep_whose_trials_all_fail_ends_with_the_reason(tables):
    """Values that are allowed one by one can break a rule together."""
    with pytest.raises(InputError, match=r"found 3 failed trials before any finished.*optimizer.momentum: found 0"):
        tables.run(
            "sweep", "sweep.space.optimizer.momentum={low: 0.5, high: 0.9}", "sweep.id=failed", "sweep.parallel=1"
        )
    assert [trial.state for trial in trials(tables, "failed")] == [TrialState.FAIL] * 3
    assert "optimizer.momentum" in trials(tables, "failed")[0].user_attrs["error"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sweep.parallel=3"], "sweep.parallel: found 3, but Spark .* has 2 task slots"),
        (["paths.runs=s3://bucket/runs"], "paths.runs: found s3://bucket/runs/_sweeps, expected a folder of the driver"),
        (["train.second_phase.train.epochs=2"], "train.second_phase: found keys, expected none"),
        (["sweep.id=../x"], "sweep.id: found '../x', expected letters"),
        (["sweep.space.model.dropout={low: 0.1, high: 1.5}"], "sweep.space.model.dropout: found 1.5, expected a number from 0"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_the_first_trial(tables, overrides, message):
    with pytest.raises(InputError, match=message):
        tables.run("sweep", "sweep.space.model.lstm_units=[8, 16]", "sweep.id=refused", *overrides)
    assert not (tables.folder / "runs" / "_sweeps" / "refused" / "journal.log").exists()
