"""Trains a run that the driver holds: its folder, its row in the table `runs`, and the gang between the two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from conf import to_yaml
from jobs.driver.corpus.vocabulary import stored_model
from jobs.driver.gang.mlflow_logger import mlflow_logger
from jobs.driver.gang.preflight import require_members
from jobs.driver.job import Job
from jobs.driver.runs.identity import require_same
from jobs.driver.runs.registry import read_json, record_run, write_json
from jobs.driver.runs.training_plan import RunSpec
from udfs import files
from udfs.captioner.memory import worker_bytes
from udfs.captioner.training import CaptionerTask
from udfs.engine.events import Event
from udfs.engine.plan import Plan


@dataclass(frozen=True)
class Training:
    """A run in training: `begin`, then a gang that trains its plan, then `finish` or `record`."""

    job: Job
    run: RunSpec
    plan: Plan

    def begin(self, attempt: int) -> None:
        """Checks what the gang needs, and writes what describes the run.

        Args:
            attempt: The driver's attempt at the run.

        Raises:
            InputError: If a task cannot use the run folder, or lacks packages or memory.
        """
        workers, task = self.job.settings.train.workers, self.plan.task
        assert isinstance(task, CaptionerTask)
        require_members(self.job.spark, workers, self.run.files, attempt, worker_bytes(task, self.plan, workers))
        prepare_folder(self.job, self.run)
        self.record({}, "running")

    def finish(self, metrics: dict[str, Any]) -> int:
        """Writes the outcome of a finished training; returns the version of the table `runs`."""
        version = self.record(metrics, "trained")
        write_json(self.run.files.training, {"version": version, "metrics": metrics})
        return version

    def record(self, metrics: dict[str, Any], status: str) -> int:
        """Writes the run's row with those metrics that are numbers; returns the version of the table `runs`."""
        numbers = {name: value for name, value in metrics.items() if name not in ("diagnosis", "stopped")}
        return record_run(self.job, self.run.id, to_yaml(self.job.settings), self.run.source.versions, numbers, status)

    def receiver(self, show: Callable[[Event], None]) -> Callable[[Event], None]:
        """What receives the workers' events: `show`, and MLflow if it is configured."""
        log = mlflow_logger(self.job.settings.tracking, self.run.files, self.run.id, self.run.identity)

        def receive(event: Event) -> None:
            show(event)
            if log is not None:
                log(event)

        return receive


def finished_training(run: RunSpec) -> dict[str, Any] | None:
    """The version of the table `runs` and the metrics of a run that is trained already; None if it is not.

    Raises:
        InputError: If the run was created with different settings or tables.
    """
    about = read_json(run.files.about)
    if about is None:
        return None
    require_same(about["identity"], run.identity, run.id)
    return read_json(run.files.training)


def prepare_folder(job: Job, run: RunSpec) -> None:
    """Writes what describes the run before it starts."""
    source = run.source
    vocabulary = job.warehouse.table("vocabulary").read(source.versions["vocabulary"])
    files.write_text(run.files.config, to_yaml(job.settings))
    write_json(
        run.files.vocabulary,
        {
            "fingerprint": source.provenance["vocabulary"],
            "max_length": source.provenance["max_length"],
            "tokenizer": source.tokenizer,
            "tokens": [row.token for row in vocabulary.orderBy("token_id").select("token").collect()],
        },
    )
    if model := stored_model(vocabulary):
        files.write_bytes(run.files.subwords, model)
    write_json(run.files.about, run.about)
