"""What a training run reads: one version of the examples, with the vocabulary that they were made with."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame

from conf import Settings
from jobs.driver.corpus.extractors import extractor_of
from jobs.driver.job import Job
from jobs.driver.runs.registry import fingerprint, identity
from jobs.driver.runs.snapshot import pinned
from udfs.errors import InputError
from udfs.vision.extractor import Extractor


@dataclass(frozen=True)
class Source:
    """A version of the examples: its rows, how they were made (`note`), the versions of all tables behind them, and the
    extractor of their features.
    """

    examples: DataFrame
    note: dict
    versions: dict[str, int]
    extractor: Extractor

    def identity(self, settings: Settings) -> dict:
        """What decides the outcome of training on this source with these settings."""
        return training_identity(settings, self.note, self.versions["examples"])


def training_identity(settings: Settings, note: dict, version: int) -> dict:
    made_from = {
        "examples": version,
        "extractor": note["made_from"]["extractor"],
        "vocabulary": note["vocabulary"],
    }
    return identity(settings, made_from)


def training_fingerprint(settings: Settings, note: dict, version: int) -> str:
    """Names the training of a version of the examples with these settings; equal names mean equal results."""
    return fingerprint(training_identity(settings, note, version))


def table_versions(note: dict, version: int) -> dict[str, int]:
    """The versions of the tables that a version of the examples stands for."""
    made_from = note["made_from"]
    return {"examples": version, **{name: made_from[name] for name in ("tokens", "features", "vocabulary")}}


def training_source(job: Job) -> Source:
    """The examples that were built for the job's run, or else the current ones.

    Raises InputError where they were not made with the job's configuration.
    """
    examples, version = pinned(job, "examples", "build_examples")
    note = job.warehouse.table("examples").provenance(version)
    settings, made_from = job.settings, note.get("made_from", {})
    if not made_from.keys() >= {"tokens", "features", "vocabulary"}:
        raise InputError(
            f"table examples: version {version} does not say which tables it was made from; run jobs/build_examples.py"
        )
    extractor = extractor_of(settings.extractor)
    found = {key: made_from.get(key) for key in ("extractor", "validation_split", "shards")}
    wanted = {
        "extractor": extractor.fingerprint,
        "validation_split": settings.corpus.validation_split,
        "shards": settings.examples.shards,
    }
    for key, value in note.get("text", {}).items():
        found[f"text.{key}"], wanted[f"text.{key}"] = value, getattr(settings.text, key)
    for key, value in wanted.items():
        if found[key] != value:
            raise InputError(
                f"table examples: its {key} is {found[key]!r}, but the configuration means {value!r}; "
                "run jobs/build_examples.py with the same configuration"
            )
    return Source(examples, note, table_versions(note, version), extractor)
