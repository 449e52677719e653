"""Run folders, and the table `runs` that lists them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlparse

from conf import Settings
from jobs.driver.job import Job
from jobs.driver.runs.old_files import modified
from jobs.driver.spark.hadoop_files import absolute
from udfs import files
from udfs.errors import InputError
from udfs.run_folder import RunFolder

NAMES = ("auto", "latest", "champion")  # of runs, instead of an id
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

# A run has one row for its training, whose decision is empty, and one for each decision about it.
SCHEMA = (
    "run_id string, decision string, config string, table_versions map<string,bigint>, metrics map<string,double>, "
    "status string, promoted boolean, reasons array<string>, updated timestamp"
)
KEYS = ["run_id", "decision"]


@dataclass(frozen=True)
class Decision:
    """A decision about a run.

    Attributes:
        run_id: The run's id.
        name: What was decided; together with the run's id it identifies the decision.
        promoted: Whether the run became the champion.
        reasons: Why, as sentences.
        versions: The versions of the tables that the decision is based on.
        metrics: The numbers behind the reasons.
    """

    run_id: str
    name: str
    promoted: bool
    reasons: list[str]
    versions: dict[str, int]
    metrics: dict[str, float]


def require_run_id(run_id: str, key: str = "run.id") -> str:
    """Returns a run's id unchanged.

    Raises:
        InputError: If it cannot name a folder, or is a name with another meaning, such as `latest`. The message names `key`.
    """
    if run_id in NAMES:
        raise InputError(f"{key}: found {run_id}, expected the id of one run; give its id")
    if not ID.fullmatch(run_id):
        raise InputError(
            f"{key}: found {run_id!r}, expected letters, digits, '.', '_' and '-' in an id that begins with neither '.' "
            f"nor '_' nor '-'; change {key}"
        )
    return run_id


def run_folder(settings: Settings, run_id: str) -> RunFolder:
    """The folder of the run with an id. Raises InputError for an id that cannot name a folder."""
    return RunFolder(f"{runs_root(settings)}/{require_run_id(run_id)}")


def runs_root(settings: Settings) -> str:
    """The URI of the folder of all runs."""
    root = absolute(settings.paths.runs).rstrip("/")
    return root if urlparse(root).scheme else f"file://{root}"


def read_json(uri: str) -> dict[str, Any] | None:
    """Reads a JSON file; None if it does not exist."""
    return json.loads(files.read_bytes(uri)) if files.exists(uri) else None


def write_json(uri: str, value: dict[str, Any]) -> None:
    """Writes a JSON file, in one move."""
    files.write_text(uri, json.dumps(value, indent=1, sort_keys=True) + "\n")


def record_run(
    job: Job, run_id: str, config: str, versions: dict[str, int], metrics: dict[str, float], status: str
) -> int:
    """Writes the row of a run's training, in place of an earlier one.

    Args:
        job: The job that writes.
        run_id: The run's id.
        config: Its settings, as YAML.
        versions: The versions of the tables that it reads.
        metrics: Its numbers.
        status: `running` or `trained`.

    Returns:
        The version of the table `runs`.
    """
    return _record(job, (run_id, "", config, versions, _numbers(metrics), status, False, [], datetime.now(UTC)))


def record_decision(job: Job, decision: Decision) -> int:
    """Writes the row of a decision about a run, in place of an earlier one of the same name.

    Returns:
        The version of the table `runs`.
    """
    row = (
        decision.run_id, decision.name, "", decision.versions, _numbers(decision.metrics),
        "promoted" if decision.promoted else "refused", decision.promoted, decision.reasons, datetime.now(UTC),
    )  # fmt: skip
    return _record(job, row)


def _numbers(metrics: dict) -> dict[str, float]:
    return {key: float(value) for key, value in metrics.items()}


def _record(job: Job, row: tuple) -> int:
    rows = job.spark.createDataFrame([row], SCHEMA)
    return job.warehouse.table("runs").upsert(rows, KEYS, {}, tombstone="status")


def latest_run(settings: Settings) -> str:
    """The id of the run in `paths.runs` whose model was saved last, which is the last step of a training.

    Raises:
        InputError: If no run has finished training.
    """
    root = runs_root(settings)
    saved = {
        run_id: modified(RunFolder(f"{root}/{run_id}").model) for run_id in files.names(root) if ID.fullmatch(run_id)
    }
    finished = {run_id: time for run_id, time in saved.items() if time is not None}
    if not finished:
        raise InputError(f"run.id: found no finished run in {settings.paths.runs}; run jobs/train.py first")
    return max(finished, key=lambda run_id: (finished[run_id], run_id))
