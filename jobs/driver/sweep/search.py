"""Trains the trials of a sweep side by side, each as a gang of one worker, and stops those that fall behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, Trial, TrialState

from jobs.driver.command import Outcome, perform
from jobs.driver.gang.launcher import GangControl, GangFailed, GangStopped, run_gang
from jobs.driver.gang.lease import Lease
from jobs.driver.gang.training import Training, finished_training
from jobs.driver.job import Job
from jobs.driver.runs.old_files import delete_tree
from jobs.driver.runs.registry import run_folder
from jobs.driver.runs.training_plan import make_plan, specify_run
from jobs.driver.runs.training_source import TrainingSource
from jobs.driver.sweep.space import trial_settings
from jobs.driver.sweep.study import SweepStudy
from udfs import files
from udfs.engine.events import Epoch, Event
from udfs.errors import InputError, message_line

QUOTED = 300  # characters of a failed trial's error
MOST_FAILURES = 3  # trials that may fail before any has finished; then the sweep ends


@dataclass
class Search:
    """A sweep that this driver holds.

    Args:
        job: The sweep's job.
        sweep_id: The sweep's id, with which the ids of its runs begin.
        study: The record of its trials.
        source: The examples that all trials are trained on.
        lease: The driver's lease on the sweep's folder.
        show: Called after each trial, by one thread at a time.
    """

    job: Job
    sweep_id: str
    study: SweepStudy
    source: TrainingSource
    lease: Lease
    show: Callable[[], None]
    _tables: threading.Lock = field(default_factory=threading.Lock)  # tables have one writer at a time
    _stops: dict[int, threading.Event] = field(default_factory=dict)
    _is_closed: bool = False
    _failures: int = 0

    def run(self) -> None:
        """Trains all trials that have not finished yet.

        Raises:
            InputError: If the first trials all fail, or another driver has taken the sweep.
        """
        self.delete_pruned_folders()
        parallel = self.job.settings.sweep.parallel
        with ThreadPoolExecutor(parallel, thread_name_prefix="trial") as pool:
            threads = [pool.submit(self._train_trials) for _ in range(parallel)]
            try:
                for thread in wait(threads, return_when=FIRST_EXCEPTION).done:
                    thread.result()
            finally:
                self._close()

    def run_id(self, trial: Trial | FrozenTrial) -> str:
        return f"{self.sweep_id}-{trial.number:04d}"

    def delete_pruned_folders(self) -> None:
        """Deletes what a driver that was killed has left of pruned trials."""
        for trial in self.study.trials:
            if trial.state is TrialState.PRUNED:
                self._delete_folder(self.run_id(trial))

    def _close(self) -> None:
        """Ends the trials in training. They stay unfinished in the study, so the next driver continues them."""
        self._is_closed = True
        for stop in list(self._stops.values()):
            stop.set()

    def _train_trials(self) -> None:
        while not self._is_closed and (drawn := self.study.next_trial()):
            trial, parameters = drawn
            self._log(trial, " ".join(f"{name}={value}" for name, value in parameters.items()))
            if twin := self.study.twin(parameters):
                self._copy(trial, twin)
            else:
                self._train(trial, parameters)
            with self._tables:
                self.show()

    def _copy(self, trial: Trial, twin: FrozenTrial) -> None:
        """Gives a trial the outcome of one with the same values, since training is repeatable."""
        self._log(trial, f"trial {twin.number} had the same values, so this one is not trained")
        if twin.state is TrialState.COMPLETE:
            self.study.finish(trial, twin.value, **twin.user_attrs)
        else:
            self.study.prune(trial, **twin.user_attrs)

    def _train(self, trial: Trial, parameters: dict[str, Any]) -> None:
        run_id, began, job = self.run_id(trial), time.monotonic(), self.job
        stop = self._stops[trial.number] = threading.Event()
        if self._is_closed:
            stop.set()
        try:
            settings = trial_settings(job.settings, run_id, parameters)
            training = perform(job.in_same_session("train", settings), lambda train: self._work(train, trial, stop))[0]
        except GangStopped:
            if self._is_closed:
                return
            self.lease.require_held()
            self.study.prune(trial, run=run_id, seconds=_seconds_since(began))
            self._delete_folder(run_id)
            self._log(trial, "pruned")
        except (InputError, GangFailed) as error:
            if self._is_closed or job.spark.sparkContext._jsc.sc().isStopped():
                raise  # the driver is ending, so the trial stays unfinished
            self.lease.require_held()
            reason = message_line(error, QUOTED)
            self.study.fail(trial, run=run_id, seconds=_seconds_since(began), error=reason)
            job.log.warning(f"trial {trial.number} failed: {reason}")
            self._count_failure(reason)
        else:
            self.lease.require_held()
            value = training.metrics[self.study.monitor]
            self.study.finish(
                trial, value, run=run_id, seconds=_seconds_since(began), epoch=training.metrics["best_epoch"]
            )
            self._log(trial, f"finished with {self.study.monitor} {value:.4f}")
        finally:
            del self._stops[trial.number]

    def _work(self, job: Job, trial: Trial, stop: threading.Event) -> Outcome:
        """The work of jobs/train.py for one trial."""
        recovery, run = job.settings.recovery, specify_run(job, self.source)
        outcome = Outcome(table="runs", run=run.id, versions=self.source.versions)
        if finished := finished_training(run):
            outcome.version, outcome.metrics = finished["version"], finished["metrics"]
            return outcome
        with self._tables:
            plan = make_plan(job, run)
        training, control = Training(job, run, plan), GangControl(self.job.settings.sweep.cores, stop)
        # The sweep's lease says that no other driver trains the trial.
        with Lease(run.files, recovery.lease_timeout, take_over=True) as lease:
            with self._tables:
                training.begin(lease.attempt)
            receive = training.receiver(lambda event: self._follow(event, trial, plan.epochs, stop))
            try:
                metrics = run_gang(job.spark, plan, job.settings, lease, receive, control)[0]
            except (GangStopped, GangFailed, InputError) as error:
                if not self._is_closed:
                    with self._tables:
                        training.record({}, "pruned" if isinstance(error, GangStopped) else "failed")
                raise
            lease.require_held()
            with self._tables:
                outcome.version, outcome.metrics = training.finish(metrics), metrics
        outcome.rows_in = outcome.written = sum(file.rows for file in plan.train.files_of(0, 1))
        return outcome

    def _follow(self, event: Event, trial: Trial, epochs: int, stop: threading.Event) -> None:
        """Reports each epoch to the study, and stops the trial if it falls behind; its last epoch has nothing left to save."""
        if not isinstance(event, Epoch) or event.rank != 0:
            return
        epoch, value = event.metrics.epoch, event.metrics.values[self.study.monitor]
        self._log(trial, f"epoch {epoch}/{epochs}  {self.study.monitor} {value:.4f}")
        if self.study.report(trial, epoch, value) and epoch < epochs:
            stop.set()

    def _count_failure(self, reason: str) -> None:
        self._failures += 1
        if self._failures >= MOST_FAILURES and self.study.best is None:
            raise InputError(
                f"sweep.space: found {self._failures} failed trials before any finished, the last one with: {reason}; correct "
                "that, and choose another sweep.id"
            )

    def _delete_folder(self, run_id: str) -> None:
        folder = run_folder(self.job.settings, run_id).uri
        if not self.job.settings.sweep.keep_pruned and files.exists(folder):
            delete_tree(folder)

    def _log(self, trial: Trial, text: str) -> None:
        self.job.log.info(f"trial {trial.number}: {text}")


def _seconds_since(began: float) -> float:
    return round(time.monotonic() - began, 1)
