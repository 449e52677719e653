"""The space of a sweep: which keys and values it takes, and what it says to others."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import conf
from conf.validation import ConfigError
from jobs.driver.runs.identity import identity_of
from jobs.driver.sweep.space import parse_space, trial_settings


def space_of(*overrides: str):
    return parse_space(conf.load(None, [f"sweep.space.{text}" for text in overrides]).sweep.space)


def test_ranges_and_lists_have_the_types_of_their_keys():
    space = space_of(
        "optimizer.learning_rate={low: 1e-4, high: 1e-2, log: true}", "model.lstm_units={low: 32, high: 96, step: 32}",
        "model.dropout=[0, 0.5]", "optimizer.name=[adam, sgd]", "model.tie_embeddings=[true, false]",
        "model.options.heads=[4, 8]",
    )  # fmt: skip
    assert space == {
        "model.dropout": CategoricalDistribution([0.0, 0.5]),
        "model.lstm_units": IntDistribution(32, 96, step=32),
        "model.options.heads": CategoricalDistribution([4.0, 8.0]),
        "model.tie_embeddings": CategoricalDistribution([True, False]),
        "optimizer.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "optimizer.name": CategoricalDistribution(["adam", "sgd"]),
    }


def test_a_file_may_nest_the_keys_or_write_them_with_dots(tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text("sweep:\n  space:\n    model.dropout: [0.1, 0.2]\n    train: {batch_size: {low: 16, high: 64}}\n")
    assert parse_space(conf.load(str(file)).sweep.space) == {
        "model.dropout": CategoricalDistribution([0.1, 0.2]),
        "train.batch_size": IntDistribution(16, 64),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.dropuot=[1, 2]", "model.dropuot: unknown key; the nearest known one is model.dropout"),
        ("caption.format=[csv, json]", "caption.format: found a key that does not affect training"),
        ("sweep.trials=[1, 2]", "sweep.trials: found a key that does not affect training"),
        ("train.monitor=[val_loss, bleu4]", "train.monitor: found a key that must be the same for all trials"),
        ("model.dropout={low: 0.1, high: 1.2}", "model.dropout: found 1.2, expected a number from 0 to 0.99"),
        ("model.lstm_units=[0, 8]", "model.lstm_units: found 0, expected a whole number of at least 1"),
        ("model.lstm_units={low: 1.5, high: 8}", "model.lstm_units: found 1.5, expected a whole number"),
        ("optimizer.name=[adam, adamm]", "optimizer.name: found 'adamm', expected one of"),
        ("optimizer.name={low: adam, high: sgd}", "expected a list, since the key is no number"),
        ("model.options.heads=[4, many]", "model.options.heads: found 'many'"),
        ("model.dropout=0.3", "model.dropout: found 0.3, expected a range or a list of values"),
        ("model.dropout=[0.3]", "expected at least two different values"),
        ("model.dropout=[0.3, 0.30]", "expected at least two different values"),
        ("model.dropout={low: 0.3}", "expected low and high"),
        ("model.dropout={low: 0.1, high: 0.3, lag: true}", "expected low, high, log and step; remove lag"),
        ("model.dropout={low: 0.3, high: 0.1}", "expected low below high"),
        ("model.dropout={low: 0.0, high: 0.1, log: true}", "if true, low above 0 and no step"),
        ("model.dropout={low: 0.0, high: 0.1, step: 0}", "expected a step above 0"),
        ("model.dropout={low: 0.0, high: 0.1, step: wide}", "expected a step above 0"),
        ("model.lstm_units={low: 8, high: 16, step: 0.5}", "expected a whole number as step"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(text, message):
    with pytest.raises(ConfigError) as error:
        space_of(text)
    assert str(error.value).startswith(f"sweep.space.{text.partition('=')[0]}: ")
    assert message in str(error.value)


def test_an_empty_space_is_refused_with_an_example():
    with pytest.raises(ConfigError, match=r"sweep.space: found no key, .*sweep.space.optimizer.learning_rate="):
        parse_space({})


def test_a_trial_differs_from_the_sweep_in_the_searched_keys_alone():
    settings = conf.load(
        None, ["sweep.trials=3", "model.options={heads: 2, key_dim: 8}", "train.workers=3", "train.epochs=7"]
    )
    trial = trial_settings(settings, "S-0001", {"model.dropout": 0.1, "model.options.heads": 4.0})
    before, after = identity_of(settings, {}), identity_of(trial, {})
    assert {name: after[name] for name in after if after[name] != before[name]} == {
        "model.dropout": 0.1, "model.options": {"heads": 4.0, "key_dim": 8.0},
    }  # fmt: skip
    assert (trial.run.id, trial.train.workers, trial.sweep) == ("S-0001", 1, conf.schema.Sweep())


def test_values_that_break_a_rule_together_are_refused():
    with pytest.raises(ConfigError, match=r"model\.tie_embeddings: found embedding_dim 256 and lstm_units 128"):
        trial_settings(conf.load(), "S-0001", {"model.tie_embeddings": True, "model.lstm_units": 128})
