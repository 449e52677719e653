"""The phases of a training: one, or two of which the second begins with the weights of the first.

Each phase is a run of its own, so that the second resumes where it was killed and another second phase finds the first one done.
"""

from __future__ import annotations

from typing import Any

from conf import ConfigError, Settings, changed
from conf.keys import keys_of
from conf.validation import flatten
from jobs.driver.runs.identity import fingerprint_of
from jobs.driver.runs.training_source import training_identity

SECOND = "train.second_phase"
START = "train.start_from"


def phases(settings: Settings, provenance: dict[str, Any], version: int) -> list[Settings]:
    """The settings of each phase, in order.

    The run of the first phase is named by its fingerprint, whatever run.id is, so that it is trained once for all runs that
    begin with it.

    Args:
        settings: The settings of the training.
        provenance: What the examples were made of.
        version: The version of the table `examples`.

    Raises:
        ConfigError: The second phase has an unknown key, one that does not affect training, or an impossible value.
    """
    differing = dict(flatten(Settings, settings.train.second_phase))
    if not differing:
        return [settings]
    first = changed(settings, {SECOND: {}, "run.id": "auto"})
    keys = keys_of(Settings)
    for name in differing:
        if name in (SECOND, START) or (name in keys and not keys[name].affects_training):
            raise ConfigError(
                f"{SECOND}: found {name}, expected keys that affect training other than {SECOND} and {START}; remove it"
            )
    identity = training_identity(first, provenance, version)
    return [first, changed(settings, {SECOND: {}, START: fingerprint_of(identity)} | differing)]


def training_fingerprint(settings: Settings, provenance: dict[str, Any], version: int) -> str:
    """A name for the outcome of all phases on a version of the examples; equal names mean equal results."""
    return fingerprint_of(training_identity(phases(settings, provenance, version)[-1], provenance, version))
