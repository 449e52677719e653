"""The phases of a training, from its settings alone."""

import pytest

import conf
from jobs.driver.runs.phases import phases, training_fingerprint
from udfs.errors import InputError

MADE_FROM = {"made_from": {"extractor": "vgg16"}, "vocabulary": "words"}
SECOND = "train.second_phase={train: {objective: self_critical, epochs: 2}, optimizer.learning_rate: 1e-4}"


def settings(*overrides: str) -> conf.Settings:
    return conf.load(None, ["train.batch_unit=photos", "train.epochs=5", *overrides])


def test_without_a_second_phase_there_is_one():
    alone = settings("run.id=mine")
    assert phases(alone, MADE_FROM, 1) == [alone]


def test_the_second_begins_with_the_run_of_the_first_and_differs_in_the_keys_it_names():
    first, second = phases(settings("run.id=mine", SECOND), MADE_FROM, 1)
    assert (first.run.id, second.run.id) == ("auto", "mine")
    assert second.train.start_from == training_fingerprint(settings(), MADE_FROM, 1)
    assert (first.train.objective, first.train.epochs) == ("cross_entropy", 5)
    assert (second.train.objective, second.train.epochs) == ("self_critical", 2)
    assert second.optimizer.learning_rate == 1e-4 != first.optimizer.learning_rate
    second.train, second.optimizer, second.run = first.train, first.optimizer, first.run
    assert second == first


def test_another_second_phase_is_another_outcome_of_the_same_first_run():
    one, other = settings(SECOND), settings(SECOND, "train.second_phase.train.epochs=9")
    assert phases(one, MADE_FROM, 1)[0] == phases(other, MADE_FROM, 1)[0]
    fingerprints = {training_fingerprint(each, MADE_FROM, 1) for each in (settings(), one, other)}
    assert len(fingerprints) == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.second_phase.train.workers=3", r"train.second_phase: found train.workers, expected keys that affect"),
        ("train.second_phase.train.start_from=x", r"train.second_phase: found train.start_from, .*remove it"),
        ("train.second_phase.train.epoch=3", r"train.epoch: unknown key; .*train.epochs"),
        ("train.second_phase.train.epochs=0", r"train.epochs: found 0, expected a whole number of at least 1"),
    ],
)
def test_keys_that_a_second_phase_cannot_have_are_refused(override, message):
    with pytest.raises(InputError, match=message):
        phases(settings(override), MADE_FROM, 1)
