"""What decides the outcome of a training run, and so whether two commands mean the same run.

The schema says for each key whether it affects training (`affects_training`). A key that a run does not know, because it was
created by an earlier version, has its original value there: the default, if the key does not name another. So a run can be
resumed after an upgrade that adds keys.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from conf import Settings
from conf.keys import keys_of
from conf.schema import RENAMED
from udfs.engine.plan import CommunicationPlan
from udfs.errors import InputError

WORKERS = "train.workers"


def identity_of(settings: Settings, versions: dict[str, Any]) -> dict[str, Any]:
    """All settings and inputs that affect the trained weights, by name.

    Args:
        settings: The settings of the training.
        versions: What the tables contribute: the version of the examples, the extractor, and the vocabulary.
    """
    keys = keys_of(Settings)
    names = [name for name, key in keys.items() if key.affects_training]
    if CommunicationPlan(**asdict(settings.communication)).workers_differ:
        names.append(WORKERS)
    values = {name: _value(settings, name) for name in names}
    return values | {f"tables.{name}": version for name, version in versions.items()}


def fingerprint_of(identity: dict[str, Any]) -> str:
    """A name for the outcome of a training; equal names mean equal weights. Original values do not enter it."""
    keys = keys_of(Settings)
    values = {
        name: value
        for name, value in identity.items()
        if name not in keys or name == WORKERS or value != keys[name].original
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def require_same(saved: dict[str, Any], wanted: dict[str, Any], name: str, key: str = "run.id") -> None:
    """Checks that a run may be continued, or a sweep.

    Args:
        saved: The identity that it was created with.
        wanted: The identity that the configuration and the tables mean now.
        name: Its id.
        key: The configuration key of its id: `run.id` or `sweep.id`.

    Raises:
        InputError: If the run was created with different settings or tables, or by a version with other names for settings.
    """
    if saved.keys() & RENAMED.keys():
        raise InputError(
            f"run.id: the run {name} was created by version 0.1, whose settings have other names; choose another run.id"
        )
    keys = keys_of(Settings)
    differing = []
    for setting in sorted({*saved, *wanted}):
        original = keys[setting].original if setting in keys and setting != WORKERS else None
        before, now = saved.get(setting, original), wanted.get(setting, original)
        if before != now:
            differing.append(f"{setting} was {before!r} and is {now!r}")
    if differing:
        raise InputError(
            f"{key}: the {key[:-3]} {name} was created with different settings: {'; '.join(differing)}; choose another {key}, or "
            "leave it at auto"
        )


def _value(settings: Settings, name: str) -> Any:
    section, _, key = name.partition(".")
    return getattr(getattr(settings, section), key)
