"""The record of a sweep: what the next driver finds after one that was killed, pruning, and importances."""

from pathlib import Path

import pytest
from optuna.trial import TrialState

from conf.schema import Sweep
from jobs.driver.sweep.results import result_of, table
from jobs.driver.sweep.space import parse_space
from jobs.driver.sweep.study import SweepStudy
from udfs.errors import InputError

SPACE = parse_space(
    {"optimizer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "model.dropout": [0.0, 0.3, 0.5]}
)


def open_study(folder: Path, monitor: str = "val_loss", identity: dict | None = None, **settings) -> SweepStudy:
    return SweepStudy(folder, "S", Sweep(**settings), monitor, SPACE, identity or {"train.epochs": 4})


def loss(parameters: dict) -> float:
    """A made-up loss that depends on the learning rate alone."""
    return abs(parameters["optimizer.learning_rate"] - 0.004) * 100


def search(study: SweepStudy, most: int = 1000) -> list[dict]:
    drawn = []
    while len(drawn) < most and (trial := study.next_trial()):
        drawn.append(trial[1])
        study.finish(trial[0], loss(trial[1]))
    return drawn


def test_a_driver_that_continues_draws_what_an_uninterrupted_one_would(tmp_path):
    alone = search(open_study(tmp_path / "alone", trials=16))
    pieces = [search(open_study(tmp_path / "pieces", trials=16), most) for most in (3, 9, 16)]
    assert [drawn for piece in pieces for drawn in piece] == alone
    assert [len(piece) for piece in pieces] == [3, 9, 4]
    assert len({str(drawn) for drawn in alone}) > 12
    assert search(open_study(tmp_path / "other", trials=16, seed=1)) != alone


def test_an_interrupted_trial_comes_first_with_the_values_and_epochs_that_it_had(tmp_path):
    study = open_study(tmp_path, trials=3)
    first, parameters = study.next_trial()
    second, others = study.next_trial()
    study.report(first, 1, 3.0)
    study.finish(second, 2.0)
    again = open_study(tmp_path, trials=3)
    resumed, values = again.next_trial()
    assert (resumed.number, values) == (first.number, parameters)
    assert not again.report(resumed, 2, 2.5)
    again.finish(resumed, 2.5)
    assert again.trials[0].intermediate_values == {1: 3.0, 2: 2.5}
    assert again.next_trial()[0].number == 2
    assert again.next_trial() is None, "the trial in training counts"
    assert again.twin(others).number == 1


def test_a_larger_number_of_trials_extends_a_sweep(tmp_path):
    assert len(search(open_study(tmp_path, trials=2))) == 2
    assert search(open_study(tmp_path, trials=2)) == []
    assert len(search(open_study(tmp_path, trials=5))) == 3


def test_a_sweep_with_other_settings_is_refused(tmp_path):
    open_study(tmp_path)
    with pytest.raises(
        InputError, match=r"sweep.id: the sweep S was created with different settings: train.epochs was 4 and is 5"
    ):
        open_study(tmp_path, identity={"train.epochs": 5})


@pytest.mark.parametrize(("monitor", "good", "bad"), [("val_loss", 2.0, 3.0), ("bleu4", 0.3, 0.2)])
def test_a_trial_is_pruned_after_the_warm_up_if_it_is_worse_than_the_median(tmp_path, monitor, good, bad):
    study = open_study(tmp_path, monitor, startup_trials=2, warmup_epochs=1)
    pruned = []
    for value in (good, good, bad):
        trial, _ = study.next_trial()
        pruned.append([study.report(trial, epoch, value) for epoch in (1, 2, 3)])
        study.finish(trial, value)
    assert pruned == [[False] * 3, [False] * 3, [False, True, True]]
    assert study.best.value == good


def test_without_a_pruner_none_is_pruned(tmp_path):
    study = open_study(tmp_path, pruner="none", startup_trials=1, warmup_epochs=0)
    search(study, 2)
    trial, _ = study.next_trial()
    assert not study.report(trial, 1, 1e9)


def test_the_key_that_matters_is_the_important_one(tmp_path):
    study = open_study(tmp_path, trials=30)
    search(study, 9)
    assert study.importances() == {}, "too few trials"
    search(study)
    shares = study.importances()
    assert list(shares) == ["optimizer.learning_rate", "model.dropout"]
    assert shares["optimizer.learning_rate"] > 0.7
    assert sum(shares.values()) == pytest.approx(1)


def test_importances_are_empty_if_all_trials_are_the_same(tmp_path, recwarn):
    study = open_study(tmp_path, trials=12)
    while trial := study.next_trial():
        study.finish(trial[0], 1.0)
    assert study.importances() == {}
    assert not recwarn.list


def test_the_table_has_the_best_trial_first_and_the_unfinished_ones_last(tmp_path):
    study = open_study(tmp_path)
    for value in (3.0, 1.5, None):
        trial, _ = study.next_trial()
        if value is None:
            study.fail(trial, error="lost", seconds=1.0)
        else:
            study.report(trial, 4, value)
            study.finish(trial, value, seconds=2.5, run=f"S-{trial.number:04d}")
    study.next_trial()
    result = result_of(study, "S")
    lines = table(result)
    assert lines[0].split()[:5] == ["trial", "state", "val_loss", "epochs", "seconds"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["1", "finished", "1.5000"], ["0", "finished", "3.0000"], ["2", "failed", "–"], ["3", "in", "training"],
    ]  # fmt: skip
    assert result.best_so_far == ([0, 1], [3.0, 1.5])
    assert result.metrics()["best"]["run"] == "S-0001"
    assert [trial.state for trial in study.trials][2:] == [TrialState.FAIL, TrialState.RUNNING]


def test_the_best_values_can_be_pasted_and_train_the_same(tmp_path):
    study = open_study(tmp_path)
    (parameters,) = search(study, 1)
    pairs = dict(word.split("=") for word in result_of(study, "S").best_keys.split())
    assert {name: float(value) for name, value in pairs.items()} == parameters
