"""The training loop of one worker, from the first batch to the saved model."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import numpy as np

from udfs.engine import checkpoint
from udfs.engine.arrays import Array
from udfs.engine.attempts import RunWriter
from udfs.engine.batches import Batches
from udfs.engine.checkpoint import Checkpoint, Progress
from udfs.engine.events import Epoch, Event, Ready, Step, Validation
from udfs.engine.export import model_bytes
from udfs.engine.learning_curves import best_epoch, diagnose, out_of_patience
from udfs.engine.metrics import EpochMetrics, Sums, WorkerMetrics
from udfs.engine.plan import Member, Plan
from udfs.engine.replica import Replica
from udfs.engine.strategy import device_summary, join_gang
from udfs.engine.task import Scorer
from udfs.engine.tensorboard import event_file
from udfs.engine.usage import Usage
from udfs.errors import InputError
from udfs.run_folder import RunFolder

REPORT_SECONDS = 0.5


def train(plan: Plan, member: Member, report: Callable[[Event], None]) -> dict[str, Any]:
    """Trains a plan together with the other members.

    Training starts at the newest checkpoint of the run folder. The chief writes checkpoints, metrics.jsonl, TensorBoard's event
    files, and model.keras with the weights of the best epoch.

    Args:
        report: Receives events as they happen.

    Returns:
        The summary, the same on every worker: epochs, best_epoch, that epoch's losses and scores, and the diagnosis.

    Raises:
        InputError: If another attempt would fail in the same way.
        Superseded: If a newer attempt holds the run.
    """
    replica = Replica(join_gang(plan, member), plan, member.rank, member.workers)
    return Training(plan, member, replica, report).run()


class Training:
    """One worker's way through the epochs. `best`, the weights of the best epoch, is kept by the chief only."""

    def __init__(self, plan: Plan, member: Member, replica: Replica, report: Callable[[Event], None]):
        self.plan, self.member, self.replica, self.report = plan, member, replica, report
        self.communication = replica.communication
        self.folder = RunFolder(plan.run_folder)
        self.writer = RunWriter(self.folder, member.attempt)
        self.batches = Batches(plan, member)
        self.best: list[Array] = []
        self.progress, self._reported = Progress(), 0.0

    def run(self) -> dict[str, Any]:
        self.restore()
        devices = device_summary(self.member, self.plan.communication.collectives)
        self.report(Ready(self.member.rank, self.progress.epoch, self.progress.step, devices))
        while not self.is_finished():
            metrics = self.train_epoch()
            if self.member.is_chief:
                self.write_epoch(metrics)
            self.save_checkpoint(metrics.epoch, self.plan.steps)
            self.report(Epoch(self.member.rank, metrics))
        if self.member.is_chief:
            self.writer.write_bytes(self.folder.model, model_bytes(self.plan.task, self.best))
        self.wait_for_all()  # no worker leaves before the chief has saved
        return self.summary()

    def is_finished(self) -> bool:
        plan, history = self.plan, self.progress.history
        out_of_time = self.progress.epoch > plan.epochs or out_of_patience(history, plan.monitor, plan.patience)
        return out_of_time or bool(self.stop_reason)

    def summary(self) -> dict[str, Any]:
        history, task = self.progress.history, self.plan.task
        best = best_epoch(history, self.plan.monitor)
        names = ("loss", "val_loss", *(f"val_{name}" for name in task.metric_names), *task.score_names)
        chosen = {name: best.values[name] for name in names if name in best.values}
        stopped = {"stopped": self.stop_reason} if self.stop_reason else {}
        diagnosis = asdict(diagnose(history, self.plan.monitor))
        return {"epochs": len(history), "best_epoch": best.epoch, **chosen, **stopped, "diagnosis": diagnosis}

    def restore(self) -> None:
        """Continues from the newest checkpoint, which the chief reads and shares."""
        member, name = self.member, ""
        if member.is_chief and (found := checkpoint.latest(self.folder, self.ranks_with_state())):
            self.replica.restore(found.variables)
            self.best, self.progress, name = found.best, found.progress, found.name
        elif member.is_chief and self.plan.initial_weights:
            self.replica.load_weights(self.plan.initial_weights)
        self.replica.broadcast(member.is_chief)
        shared = self._from_chief({"progress": self.progress.to_json(), "checkpoint": name})
        self.progress = Progress.from_json(shared["progress"])
        if shared["checkpoint"] and member.rank in self.ranks_with_state():
            self.communication.restore(checkpoint.worker_state(self.folder, shared["checkpoint"], member.rank))

    def ranks_with_state(self) -> range:
        """The ranks whose own state is kept beside the chief's checkpoint."""
        return range(self.member.workers if self.communication.has_worker_state else 0)

    def wait_for_all(self) -> None:
        self.replica.collectives.total([np.ones(1)])

    def train_epoch(self) -> EpochMetrics:
        """Trains the rest of an epoch and validates it; moves the progress to the next epoch."""
        epoch, member = self.progress.epoch, self.member
        began, usage = time.monotonic() - self.progress.seconds, Usage(member)
        sums, examples = self.train_steps(began)
        seconds, total = time.monotonic() - began, self.communication.total(sums)
        with self.replica.averaged_weights():
            validation = self.validate(epoch)
        row = np.array([examples, *usage.row(), self.replica.checksum()])
        rows = self.replica.collectives.by_rank(row, member.rank)
        require_equal(rows[:, -1], epoch)
        with self.replica.averaged_weights():
            scores = self.score(epoch)
        metrics = EpochMetrics(
            epoch,
            {**self.epoch_values(total, validation, seconds), **scores, "learning_rate": self.replica.learning_rate},
            tuple(self._worker_metrics(rank, row) for rank, row in enumerate(rows)),
            self.plan.task.example_unit,
        )
        self.progress = Progress(epoch=epoch + 1, history=[*self.progress.history, metrics])
        return metrics

    def train_steps(self, began: float) -> tuple[Sums, int]:
        """The remaining steps of an epoch that began at a monotonic time: its sums, and the examples of this worker."""
        plan, progress, rank = self.plan, self.progress, self.member.rank
        epoch, saved, examples = progress.epoch, progress.step, 0
        sums = Sums.zeros(len(plan.task.metric_names))
        if progress.sums:
            sums = self.communication.resumed(Sums(np.array(progress.sums)))
        batches = self.batches.training(epoch, progress.step)
        for step, batch in enumerate(batches, progress.step + 1):
            seed = (plan.seed, epoch, step, rank)
            sums += self.replica.train(batch.arrays, seed, plan.updates_after(step))
            examples += batch.examples
            if self.communication.agrees_after(step):
                self.communication.agree()
            self._require_finite(sums, epoch, step)
            seconds = time.monotonic() - began
            self._report_step(Step(rank, epoch, step, plan.steps, sums.mean_loss, seconds))
            due = plan.checkpoint_every and step // plan.checkpoint_every > saved // plan.checkpoint_every
            if due and self.communication.agrees_after(step) and step < plan.steps:
                saved = step
                total = self.communication.total(sums).values.tolist()
                self.progress = replace(progress, step=step, sums=total, seconds=seconds)
                self.save_checkpoint(epoch, step)
        return sums, examples

    def validate(self, epoch: int) -> Sums:
        """The sums over the validation split, of all workers."""
        sums, steps = Sums.zeros(len(self.plan.task.metric_names)), self.plan.validation.steps(self.plan.batch_size)
        for step, batch in enumerate(self.batches.validation(), 1):
            sums += self.replica.validate(batch.arrays)
            self._report_step(Validation(self.member.rank, epoch, step, steps))
        return Sums(self.replica.collectives.total([sums.values])[0])

    def score(self, epoch: int) -> dict[str, float]:
        """The task's scores of the validation split, to which each worker contributes its shards."""
        if self.scorer is None:
            return {}
        self._report_step(Validation(self.member.rank, epoch, 0, 0))
        counts = self.scorer.count(self.batches.validation_files())
        return self.scorer.scores(self.replica.collectives.total([counts])[0])

    @property
    def stop_reason(self) -> str:
        """Why the scores forbid another epoch; empty if they do not."""
        history = [epoch.values for epoch in self.progress.history]
        return self.scorer.stop_reason(history) if self.scorer and history else ""

    @cached_property
    def scorer(self) -> Scorer | None:
        return self.plan.task.scorer(self.replica.model)

    def write_epoch(self, metrics: EpochMetrics) -> None:
        """Writes the metrics of an epoch, and keeps the weights if it is the best one."""
        history = self.progress.history
        if best_epoch(history, self.plan.monitor) is metrics:
            with self.replica.averaged_weights():
                self.best = self.replica.weights()
        lines = "".join(json.dumps(past.as_line()) + "\n" for past in history)
        self.writer.write_text(self.folder.metrics, lines)
        self.writer.write_bytes(self.folder.tensorboard(metrics.epoch), event_file(metrics))

    def save_checkpoint(self, epoch: int, step: int) -> None:
        """Writes a checkpoint. Every worker calls it, after a step after which all have the same weights."""
        number = (epoch - 1) * self.plan.steps + step
        if self.member.rank in self.ranks_with_state():
            checkpoint.save_worker(self.writer, number, self.member.rank, self.communication.state())
            self.wait_for_all()
        if self.member.is_chief:
            content = Checkpoint(self.replica.snapshot(), self.best, self.progress)
            checkpoint.save(self.writer, number, content, self.plan.keep_checkpoints)

    def epoch_values(self, sums: Sums, validation: Sums, seconds: float) -> dict[str, float]:
        """Mean losses and metrics of both splits, and the speed of training."""
        task, examples = self.plan.task, self.plan.train.total
        return {
            **sums.means(task.metric_names),
            **validation.means(task.metric_names, "val_"),
            task.weight_unit: int(sums.weight),
            "seconds": round(seconds, 3),
            f"{task.example_unit}_per_second": round(examples / seconds, 1),
            f"{task.weight_unit}_per_second": round(sums.weight / seconds, 1),
        }

    def _require_finite(self, sums: Sums, epoch: int, step: int) -> None:
        if not math.isfinite(sums.loss):
            raise InputError(
                f"optimizer.learning_rate: found {self.plan.optimizer.learning_rate}, and the loss of epoch {epoch} became "
                f"{sums.loss} at step {step}; lower it, or set optimizer.clip_norm=1"
            )

    def _report_step(self, event: Step | Validation) -> None:
        """Reports a step at most every REPORT_SECONDS, and always the last one."""
        if time.monotonic() - self._reported > REPORT_SECONDS or event.step == event.steps:
            self._reported = time.monotonic()
            self.report(event)

    def _from_chief(self, state: dict[str, Any]) -> dict[str, Any]:
        """The chief's JSON values on every worker, as a sum of bytes to which the others add zeros."""
        text = json.dumps(state).encode() if self.member.is_chief else b""
        (length,) = self.replica.collectives.total([np.array([len(text)], "int64")])
        content = np.zeros(int(length[0]), "int32")
        content[: len(text)] = np.frombuffer(text, "uint8")
        (shared,) = self.replica.collectives.total([content])
        values: dict[str, Any] = json.loads(shared.astype("uint8").tobytes())
        return values

    def _worker_metrics(self, rank: int, row: Array) -> WorkerMetrics:
        used = {name: round(float(value), 3) for name, value in zip(Usage.FIELDS, row[1:-1], strict=True)}
        return WorkerMetrics(rank, self.member.addresses[rank], int(row[0]), **used)


def require_equal(checksums: Array, epoch: int) -> None:
    """Raises RuntimeError if the workers' weights are not equal to the last bit."""
    if len(set(checksums)) > 1:
        raise RuntimeError(f"the workers' weights differ after epoch {epoch}: checksums {checksums.tolist()}")
