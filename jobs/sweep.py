"""Searches for better settings: many trainings, side by side as Spark tasks, chosen and stopped early by Optuna.

    spark-submit --master local[2] jobs/sweep.py --config conf/flickr8k.yaml sweep.id=first sweep.trials=30 \\
        sweep.space.optimizer.learning_rate='{low: 1e-4, high: 1e-2, log: true}' sweep.space.model.dropout='[0.2, 0.3, 0.5]'

The job reads the tables that jobs/train.py reads. Each trial is a run of its own, with the id ID-0007, its folder and its row of
the table `runs`; a finished one can be evaluated, reported and promoted like any other. Beside the runs, _sweeps/ID holds the
record of all trials and the page sweep.html. The same command continues a sweep that was interrupted: what has finished is kept,
and the interrupted trials go on from their last checkpoints.

What it can do:

- Search any key that affects training: ranges of numbers (`low`, `high`, `log`, `step`), or lists of values (`sweep.space`).
- Train several trials at a time, each in a process of its own with the threads that it is given (`sweep.parallel`,
  `sweep.cores`), and with the recovery of any training (`recovery.*`).
- Compare trials by `train.monitor` of the validation photos, and stop those that fall behind (`sweep.pruner`,
  `sweep.warmup_epochs`, `sweep.startup_trials`). The run folders of pruned trials are deleted unless `sweep.keep_pruned`.
- Extend a sweep: the same command with a larger `sweep.trials`.
- Draw the same trials again from the same `sweep.seed`, if one trial trains at a time.

It needs the package optuna: pip install --constraint requirements.lock '.[sweep]'.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from conf import Settings
from jobs.driver.command import Outcome, run_job
from jobs.driver.gang.lease import Lease
from jobs.driver.gang.preflight import require_cluster
from jobs.driver.job import Job
from jobs.driver.runs.identity import fingerprint_of
from jobs.driver.runs.registry import require_run_id, run_folder, runs_root
from jobs.driver.runs.training_source import training_source
from jobs.driver.spark.hadoop_files import absolute
from udfs import files
from udfs.errors import InputError
from udfs.run_folder import RunFolder

if TYPE_CHECKING:
    from jobs.driver.sweep.results import SweepResult
    from jobs.driver.sweep.study import SweepStudy

PAGE = "sweep.html"


def main(job: Job) -> Outcome:
    require_optuna()
    from jobs.driver.sweep.results import table
    from jobs.driver.sweep.search import Search
    from jobs.driver.sweep.space import parse_space, trial_settings
    from jobs.driver.sweep.study import SweepStudy

    settings = job.settings
    space = parse_space(settings.sweep.space)
    require_one_phase(settings)
    source = training_source(job)
    identity = source.identity(trial_settings(settings, settings.run.id, {}))
    identity = {name: value for name, value in identity.items() if name not in space}
    identity |= {f"sweep.space.{name}": str(values) for name, values in space.items()} | {
        "sweep.seed": settings.sweep.seed
    }
    sweep_id = (
        fingerprint_of(identity) if settings.sweep.id == "auto" else require_run_id(settings.sweep.id, "sweep.id")
    )
    folder = sweep_folder(settings, sweep_id)
    require_cluster(job.spark, settings, "sweep.parallel")
    with hold(folder, settings) as lease:
        study = SweepStudy(folder, sweep_id, settings.sweep, settings.train.monitor, space, identity)
        before = study.finished
        job.log.info(f"sweep {sweep_id}: {settings.sweep.trials} trials, {before} of them finished, {folder}")
        Search(job, sweep_id, study, source, lease, lambda: write_page(job, study, sweep_id, folder)).run()
        result = write_page(job, study, sweep_id, folder)
    for line in table(result):
        job.log.info(line)
    outcome = Outcome(table="runs", rows_in=len(result.rows), unchanged=before, written=len(result.rows) - before)
    outcome.run, outcome.versions = result.best.run if result.best else None, source.versions
    outcome.metrics = {**result.metrics(), "page": str(folder / PAGE)}
    if result.best is None:
        outcome.problem = f"sweep.space: none of the {len(result.rows)} trials finished; {folder / PAGE} says why"
    return outcome


def require_optuna() -> None:
    """Raises InputError if Optuna is not installed."""
    if find_spec("optuna") is None:
        raise InputError(
            "optuna: found no such package, expected it for sweeps; run pip install --constraint requirements.lock '.[sweep]'"
        )


def require_one_phase(settings: Settings) -> None:
    """Raises InputError if the training has a second phase."""
    if settings.train.second_phase:
        raise InputError(
            "train.second_phase: found keys, expected none, since a trial is a single run; search the first phase with "
            "train.second_phase={}, then the second with its keys and train.start_from=RUN"
        )


def sweep_folder(settings: Settings, sweep_id: str) -> Path:
    """The sweep's folder on the driver.

    Raises:
        InputError: If it is not on a file system of the driver. The record of the trials is a file to which lines are
            appended, which object stores cannot do.
    """
    storage = settings.sweep.storage
    root = f"{runs_root(settings)}/_sweeps" if storage == "auto" else absolute(storage)
    path = local_path(root)
    if path is None:
        key = "paths.runs" if storage == "auto" else "sweep.storage"
        raise InputError(
            f"{key}: found {root}, expected a folder of the driver for the record of a sweep, which is appended to; set "
            "sweep.storage to a folder on a disk that outlives the driver"
        )
    return Path(path) / sweep_id


def local_path(uri: str) -> str | None:
    """The path of a local file or folder, given as a path or a `file:` URI; None for any other URI."""
    parts = urlparse(uri)
    return {"": uri, "file": parts.path}.get(parts.scheme)


def hold(folder: Path, settings: Settings) -> Lease:
    """The driver's lease on the sweep.

    Raises:
        InputError: If another driver holds it, or the folder cannot be written to.
    """
    recovery = settings.recovery
    try:
        return Lease(RunFolder(f"file://{folder}"), recovery.lease_timeout, recovery.take_over, "sweep.id")
    except OSError as error:
        raise InputError(
            f"sweep.storage: cannot write to {folder} ({error}); make it writable, or set sweep.storage to another place"
        ) from error


def write_page(job: Job, study: SweepStudy, sweep_id: str, folder: Path) -> SweepResult:
    """Writes the sweep's page as far as it has come, and returns what it shows."""
    from jobs.driver.page.sweep_page import render_sweep
    from jobs.driver.sweep.results import result_of

    result = result_of(study, sweep_id)
    if result.best is not None:
        config = run_folder(job.settings, result.best.run).config
        result = replace(result, config=local_path(config) or config)
    files.write_text(f"file://{folder / PAGE}", render_sweep(result))
    return result


if __name__ == "__main__":
    run_job(main, __doc__)
