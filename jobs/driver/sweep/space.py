"""The space that a sweep searches: keys of the configuration, each with a range or a list of values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial

from conf import Settings, changed
from conf.keys import keys_of
from conf.schema import Sweep
from conf.validation import ConfigError, checked_value, flatten

Distribution: TypeAlias = IntDistribution | FloatDistribution | CategoricalDistribution
EXAMPLE = "sweep.space.optimizer.learning_rate='{low: 1e-4, high: 1e-2, log: true}'"
RANGE = {"low", "high", "log", "step"}
# Trials are compared by one metric on one table, so neither may differ between them.
FIXED = {
    "corpus.validation_split": "the tables are built with it",
    "corpus.validation_fraction": "the tables are built with it",
    "train.monitor": "it is the metric that trials are compared by",
    "train.validation_bleu": "it decides the metric that trials are compared by",
    "train.validation_beam_width": "it changes the metric that trials are compared by",
}


def parse_space(space: Mapping[str, Any]) -> dict[str, Distribution]:
    """The searched keys in order of name, with what their values are drawn from.

    Args:
        space: `sweep.space` as it was given: dotted keys or nested sections, with ranges or lists of values.

    Raises:
        ConfigError: For a key that is unknown or cannot be searched, or for values that the key does not allow.
    """
    given = dict(_entries(space))
    if not given:
        raise ConfigError(f"sweep.space: found no key, expected keys with ranges or lists of values; set {EXAMPLE}")
    return {name: _distribution(name, given[name]) for name in sorted(given)}


def draw(trial: Trial, space: Mapping[str, Distribution]) -> dict[str, Any]:
    """A trial's value of every searched key; a value that was drawn before stays."""
    return {name: _drawn(trial, name, values) for name, values in space.items()}


def parameters_of(trial: FrozenTrial) -> dict[str, Any]:
    """The values that a trial was trained with."""
    return {name: _rounded(value, trial.distributions[name]) for name, value in trial.params.items()}


def trial_settings(settings: Settings, run_id: str, parameters: Mapping[str, Any]) -> Settings:
    """The settings of one trial's training.

    Raises:
        ConfigError: If the values break a rule across keys.
    """
    own = {"run.id": run_id, "train.workers": 1, **{f"sweep.{name}": value for name, value in asdict(Sweep()).items()}}
    return changed(settings, own | dict(parameters))


def _entries(space: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(dotted key, range or list) pairs; the entries of a mapping, such as `model.options`, count as keys."""
    keys = keys_of(Settings)
    for name, value in flatten(Settings, space):
        if name in keys and keys[name].default == {} and isinstance(value, Mapping):
            yield from ((f"{name}.{entry}", values) for entry, values in value.items())
        else:
            yield name, value


def _distribution(name: str, values: Any) -> Distribution:
    _require_searchable(name, values)
    if isinstance(values, Mapping):
        return _range(name, values)
    choices = [_checked(name, value) for value in values]
    if len(choices) < 2 or len(set(choices)) < len(choices):
        raise ConfigError(f"sweep.space.{name}: found {values!r}, expected at least two different values; add to them")
    return CategoricalDistribution(choices)


def _require_searchable(name: str, values: Any) -> None:
    keys = keys_of(Settings)
    mapping = name.rpartition(".")[0]
    key = keys.get(name) or keys.get(mapping)
    if key is None or (name not in keys and key.default != {}):
        _checked(name, None)  # raises for an unknown key
    if not key.affects_training:
        raise ConfigError(
            f"sweep.space.{name}: found a key that does not affect training, expected one that does; set {name}=... for all "
            "trials instead"
        )
    if name in FIXED:
        raise ConfigError(
            f"sweep.space.{name}: found a key that must be the same for all trials, since {FIXED[name]}; set {name}=... instead"
        )
    if not isinstance(values, list | Mapping):
        raise ConfigError(f"sweep.space.{name}: found {values!r}, expected a range or a list of values; like {EXAMPLE}")


def _range(name: str, values: Mapping[str, Any]) -> Distribution:
    place = f"sweep.space.{name}: found {dict(values)!r}"
    if unknown := set(values) - RANGE:
        raise ConfigError(f"{place}, expected low, high, log and step; remove {', '.join(sorted(map(str, unknown)))}")
    if not {"low", "high"} <= values.keys():
        raise ConfigError(f"{place}, expected low and high; like {EXAMPLE}")
    low, high = _checked(name, values["low"]), _checked(name, values["high"])
    if isinstance(low, bool | str):
        raise ConfigError(f"{place}, expected a list, since the key is no number; like sweep.space.{name}='[A, B]'")
    log, step = values.get("log", False), values.get("step")
    if not low < high:
        raise ConfigError(f"{place}, expected low below high; change them")
    if not isinstance(log, bool) or (log and (step is not None or low <= 0)):
        raise ConfigError(f"{place}, expected log to be true or false, and if true, low above 0 and no step; change it")
    if step is not None and (isinstance(step, bool | str) or not 0 < step <= high - low):
        raise ConfigError(f"{place}, expected a step above 0 and at most high - low; change it")
    if not isinstance(low, int):
        return FloatDistribution(low, high, log=log, step=step)
    if step is not None and step != int(step):
        raise ConfigError(f"{place}, expected a whole number as step; change it")
    return IntDistribution(low, high, log=log, step=int(step or 1))


def _checked(name: str, value: Any) -> Any:
    try:
        return checked_value(Settings, name, value)
    except ConfigError as error:
        raise ConfigError(f"sweep.space.{error}") from error


def _drawn(trial: Trial, name: str, values: Distribution) -> Any:
    if isinstance(values, CategoricalDistribution):
        return trial.suggest_categorical(name, values.choices)
    if isinstance(values, IntDistribution):
        return trial.suggest_int(name, values.low, values.high, step=values.step, log=values.log)
    return _rounded(trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log), values)


def _rounded(value: Any, values: Distribution) -> Any:
    """A number from a range with six digits, so that a command that was copied from a page trains the same."""
    if not isinstance(values, FloatDistribution):
        return value
    return min(max(float(f"{value:.6g}"), values.low), values.high)
