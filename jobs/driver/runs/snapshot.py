"""The JSON lines that jobs leave in the folder of their run, and the table versions that later jobs of the run read there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import DataFrame

from conf import Settings
from jobs.driver.runs.registry import read_json, run_folder
from udfs import files

if TYPE_CHECKING:
    from jobs.driver.job import Job

NOT_ONE_RUN = ("auto", "champion")


def keep_line(settings: Settings, job: str, run: str | None, line: str) -> None:
    """Writes a job's JSON line to `<run folder>/<job>.json`, where the job worked for one run."""
    run = run or settings.run.id
    if run not in NOT_ONE_RUN:
        files.write_text(f"{run_folder(settings, run)}/{job}.json", line + "\n")


def pinned(job: Job, name: str, maker: str) -> tuple[DataFrame, int]:
    """The rows of a table at the version that belongs to the job's run, and that version's number.

    That is what the job `maker` wrote or found for the same `run.id`, whatever has been written since; the current version
    where it did not work for this run. Raises InputError where there is no such table.
    """
    table = job.warehouse.require(name, maker)
    version = _version_of_run(job.settings, name, maker)
    if version is None:
        version = table.version()
    return table.read(version), version


def _version_of_run(settings: Settings, name: str, maker: str) -> int | None:
    if settings.run.id in NOT_ONE_RUN:
        return None
    line = read_json(f"{run_folder(settings, settings.run.id)}/{maker}.json") or {}
    return line.get("versions", {}).get(name)
