"""The JSON lines that jobs leave in the folder of their run, and the table versions that later jobs of the run read there."""

from __future__ import annotations

from pyspark.sql import DataFrame

from conf import Settings
from jobs.driver.job import Job
from jobs.driver.runs.registry import NAMES, read_json, run_folder
from udfs import files


def keep_line(settings: Settings, job: str, run_id: str | None, line: str) -> None:
    """Writes a job's JSON line into the folder of its run.

    Args:
        settings: The job's settings.
        job: The job's name.
        run_id: The run that the job worked for; None for the one that `run.id` gives. Without either nothing is written.
        line: The JSON line.
    """
    run_id = run_id or settings.run.id
    if run_id not in NAMES:
        files.write_text(run_folder(settings, run_id).job_line(job), line + "\n")


def pinned(job: Job, name: str, maker: str) -> tuple[DataFrame, int]:
    """Reads a table at the version that belongs to the job's run.

    That is the version that the job `maker` read or wrote with the same `run.id`, whatever has been written since. If it
    has not run with this `run.id`, it is the current version.

    Args:
        job: The job that reads.
        name: The table's name.
        maker: The name of the job that writes the table.

    Returns:
        The rows, and the number of the version.

    Raises:
        InputError: If there is no such table.
    """
    table = job.warehouse.require(name, maker)
    version = _version_of_run(job.settings, name, maker)
    if version is None:
        version = table.version()
    return table.read(version), version


def _version_of_run(settings: Settings, name: str, maker: str) -> int | None:
    if settings.run.id in NAMES:
        return None
    line = read_json(run_folder(settings, settings.run.id).job_line(maker)) or {}
    return line.get("versions", {}).get(name)
