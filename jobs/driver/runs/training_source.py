"""What a training run reads: one version of the examples, with the vocabulary that they were made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame

from conf import Settings
from jobs.driver.corpus.configured_extractor import extractor_of
from jobs.driver.job import Job
from jobs.driver.runs.identity import identity_of
from jobs.driver.runs.snapshot import pinned
from udfs.errors import InputError
from udfs.vision.extractor import Extractor


@dataclass(frozen=True)
class TrainingSource:
    """A version of the examples.

    Attributes:
        examples: Its rows.
        provenance: How they were made.
        versions: The versions of the tables behind them, by name.
        extractor: The extractor of their features.
    """

    examples: DataFrame
    provenance: dict[str, Any]
    versions: dict[str, int]
    extractor: Extractor

    @property
    def tokenizer(self) -> str:
        """What the tokens are: words or subwords. Examples of earlier versions have words."""
        return self.provenance.get("text", {}).get("tokenizer", "words")

    def identity(self, settings: Settings) -> dict[str, Any]:
        """What decides the outcome of training on these examples with these settings."""
        return training_identity(settings, self.provenance, self.versions["examples"])


def training_identity(settings: Settings, provenance: dict[str, Any], version: int) -> dict[str, Any]:
    """What decides the outcome of training on a version of the examples with these settings."""
    inputs = {
        "examples": version,
        "extractor": provenance["made_from"]["extractor"],
        "vocabulary": provenance["vocabulary"],
    }
    return identity_of(settings, inputs)


def table_versions(provenance: dict[str, Any], version: int) -> dict[str, int]:
    """The versions of the tables that a version of the examples was made from, and its own."""
    made_from = provenance["made_from"]
    return {"examples": version, **{name: made_from[name] for name in ("tokens", "features", "vocabulary")}}


def training_source(job: Job) -> TrainingSource:
    """The examples that were built for the job's run, or the current ones if none were.

    Raises:
        InputError: If they were made with another configuration than the job's.
    """
    examples, version = pinned(job, "examples", "build_examples")
    provenance = job.warehouse.table("examples").provenance(version)
    settings, made_from = job.settings, provenance.get("made_from", {})
    if not made_from.keys() >= {"tokens", "features", "vocabulary"}:
        raise InputError(
            f"table examples: version {version} does not say which tables it was made from; run jobs/build_examples.py"
        )
    extractor = extractor_of(settings)
    expected = {
        "extractor": extractor.fingerprint,
        "validation_split": settings.corpus.validation_split,
        "shards": settings.examples.shards,
    }
    actual = {key: made_from.get(key) for key in expected}
    for key, value in {"tokenizer": "words", **provenance.get("text", {})}.items():
        actual[f"text.{key}"], expected[f"text.{key}"] = value, getattr(settings.text, key)
    for key, value in expected.items():
        if actual[key] != value:
            raise InputError(
                f"table examples: its {key} is {actual[key]!r}, but the configuration means {value!r}; "
                "run jobs/build_examples.py with the same configuration"
            )
    return TrainingSource(examples, provenance, table_versions(provenance, version), extractor)
