"""Run folders, and the table `runs` that lists them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from pyspark.sql import functions as F

from conf import Settings
from conf.keys import keys_of
from jobs.driver.spark.hadoop_files import absolute
from udfs import files
from udfs.engine.plan import workers_differ
from udfs.errors import InputError

if TYPE_CHECKING:
    from jobs.driver.job import Job

# A run has one row for its training, whose decision is empty, and one for each decision about it.
SCHEMA = (
    "run_id string, decision string, config string, table_versions map<string,bigint>, metrics map<string,double>, "
    "status string, promoted boolean, reasons array<string>, updated timestamp"
)
KEYS = ["run_id", "decision"]


def run_folder(settings: Settings, run_id: str) -> str:
    """The URI of a run's folder. Raises InputError for an id that would leave paths.runs, or means something else."""
    if not run_id or run_id[0] in "._" or any(c in run_id for c in "/\\\x00"):
        raise InputError(
            f"run.id: found {run_id!r}, expected a name without slashes that begins with neither . nor _; change run.id"
        )
    if run_id in ("auto", "champion"):
        raise InputError(f"run.id: found {run_id!r}, expected the id of one run; give its id")
    return f"{runs_root(settings)}/{run_id}"


def runs_root(settings: Settings) -> str:
    """The URI of the folder of all runs."""
    root = absolute(settings.paths.runs).rstrip("/")
    return root if urlparse(root).scheme else f"file://{root}"


def identity(settings: Settings, made_from: dict) -> dict:
    """What decides the outcome of a training run, flat: settings and the table versions it reads."""
    found = {
        name: getattr(getattr(settings, name.partition(".")[0]), key.name.partition(".")[2])
        for name, key in keys_of(Settings).items()
        if key.affects_training
    }
    if workers_differ(settings.communication):
        found["train.workers"] = settings.train.workers
    return {**found, **{f"tables.{key}": value for key, value in made_from.items()}}


def fingerprint(values: dict) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def read_json(uri: str) -> dict | None:
    return json.loads(files.read_bytes(uri)) if files.exists(uri) else None


def write_json(uri: str, value: dict) -> None:
    files.write_text(uri, json.dumps(value, indent=1, sort_keys=True) + "\n")


def record_run(
    job: Job, run_id: str, config: str, versions: dict[str, int], metrics: dict[str, float], status: str
) -> int:
    """Writes a run's row, replacing an earlier one; returns the table's version."""
    return _record(job, (run_id, "", config, versions, _numbers(metrics), status, False, [], datetime.now(UTC)))


def record_decision(
    job: Job, run_id: str, decision: str, promoted: bool, reasons: list[str], versions: dict, metrics: dict
) -> int:
    """Writes a decision about a run as a row of its own, once for each name of a decision; returns the table's version."""
    status = "promoted" if promoted else "refused"
    return _record(
        job, (run_id, decision, "", versions, _numbers(metrics), status, promoted, reasons, datetime.now(UTC))
    )


def _numbers(metrics: dict) -> dict[str, float]:
    return {key: float(value) for key, value in metrics.items()}


def _record(job: Job, row: tuple) -> int:
    rows = job.spark.createDataFrame([row], SCHEMA)
    return job.warehouse.table("runs").upsert(rows, KEYS, {}, tombstone="status")


def latest_run(job: Job) -> str:
    """The id of the run that finished last. Raises InputError where none has."""
    rows = job.warehouse.require("runs", "train").read().where("status = 'trained'")
    newest = rows.orderBy(F.desc("updated")).first()
    if newest is None:
        raise InputError("run.id: no run has finished training yet; run jobs/train.py first")
    return newest.run_id
