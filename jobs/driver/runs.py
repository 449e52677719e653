"""Run folders, and the table `runs` that lists them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import UTC, datetime
from urllib.parse import urlparse

from pyspark.sql import functions as F

from conf import Settings
from jobs.driver.job import Job
from udfs import files
from udfs.errors import InputError

SCHEMA = (
    "run_id string, config string, table_versions map<string,bigint>, metrics map<string,double>, "
    "status string, promoted boolean, updated timestamp"
)
# How a run is carried out, but not what comes of it.
OPERATIONAL = ("workers", "keep_checkpoints", "max_restarts", "start_timeout")


def run_folder(settings: Settings, run_id: str) -> str:
    """The URI of a run's folder. Raises InputError for an id that would leave paths.runs."""
    if not run_id or run_id.startswith(".") or any(c in run_id for c in "/\\\x00"):
        raise InputError(f"run.id: found {run_id!r}, expected a name without slashes; change run.id")
    from jobs.driver.storage import absolute

    root = absolute(settings.paths.runs).rstrip("/")
    return f"{root if urlparse(root).scheme else 'file://' + root}/{run_id}"


def identity(settings: Settings, made_from: dict) -> dict:
    """What decides the outcome of a training run, flat: settings and the table versions it reads."""
    train = {key: value for key, value in asdict(settings.train).items() if key not in OPERATIONAL}
    groups = {"model": asdict(settings.model), "train": train, "tables": made_from}
    return {f"{group}.{key}": value for group, values in groups.items() for key, value in values.items()}


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
    row = [(run_id, config, versions, {k: float(v) for k, v in metrics.items()}, status, False, datetime.now(UTC))]
    rows = job.spark.createDataFrame(row, SCHEMA)
    return job.warehouse.table("runs").upsert(rows, ["run_id"], {}, tombstone="status")


def latest_run(job: Job) -> str:
    """The id of the run that finished last. Raises InputError where none has."""
    rows = job.warehouse.require("runs", "train").read().where("status = 'trained'")
    newest = rows.orderBy(F.desc("updated")).first()
    if newest is None:
        raise InputError("run.id: no run has finished training yet; run jobs/train.py first")
    return newest.run_id
