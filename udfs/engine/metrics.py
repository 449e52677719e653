"""The sums of an epoch, and what is reported of it in `metrics.jsonl`, in TensorBoard, in MLflow and on the run's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from udfs.engine.arrays import Array


@dataclass(frozen=True)
class Sums:
    """Sums over examples: the loss in nats, its weight, and the task's metrics. All are finite and not negative."""

    values: Array  # float64: loss, weight, metrics

    @staticmethod
    def zeros(metrics: int) -> Sums:
        return Sums(np.zeros(2 + metrics))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.values + other.values)

    @property
    def loss(self) -> float:
        return float(self.values[0])

    @property
    def weight(self) -> float:
        return float(self.values[1])

    @property
    def mean_loss(self) -> float:
        """The loss per unit of weight; 0 if there is none."""
        return self.loss / max(self.weight, 1.0)

    def means(self, names: Sequence[str], prefix: str = "") -> dict[str, float]:
        """The mean loss as `loss`, and each metric's mean by name."""
        sums = [self.values[0], *self.values[2:]]
        return {
            f"{prefix}{name}": float(value / self.values[1]) for name, value in zip(["loss", *names], sums, strict=True)
        }


@dataclass(frozen=True)
class WorkerMetrics:
    """What one worker did in an epoch and what it used: cores on average, resident MiB, MiB sent and received."""

    rank: int
    address: str
    examples: int
    cpu_cores: float
    memory_mb: float
    sent_mb: float
    received_mb: float


@dataclass(frozen=True)
class EpochMetrics:
    """What is reported of an epoch.

    Attributes:
        epoch: The epoch, from 1.
        values: Numbers by name: loss, val_loss, the task's metrics and scores, seconds, speeds, learning_rate.
        workers: One entry per worker, by rank.
        example_unit: The name of `WorkerMetrics.examples` in a line of metrics.jsonl.
    """

    epoch: int
    values: dict[str, float]
    workers: tuple[WorkerMetrics, ...] = ()
    example_unit: str = "examples"

    @property
    def loss(self) -> float:
        return self.values["loss"]

    @property
    def val_loss(self) -> float:
        return self.values["val_loss"]

    def as_line(self) -> dict[str, Any]:
        """The epoch as one flat object, as `metrics.jsonl` keeps it."""
        workers = []
        for worker in self.workers:
            values = asdict(worker)
            workers.append({"rank": worker.rank, "address": worker.address, self.example_unit: values.pop("examples"),
                            **values})  # fmt: skip
        return {"epoch": self.epoch, **self.values, "workers": workers}

    @staticmethod
    def from_line(line: Mapping[str, Any]) -> EpochMetrics:
        """The epoch in a line of `metrics.jsonl`, without its workers."""
        numbers = {name: value for name, value in line.items() if isinstance(value, int | float) and name != "epoch"}
        return EpochMetrics(line["epoch"], numbers)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> EpochMetrics:
        """The epoch that `dataclasses.asdict` turned into JSON values."""
        workers = tuple(WorkerMetrics(**worker) for worker in values["workers"])
        return EpochMetrics(values["epoch"], dict(values["values"]), workers, values["example_unit"])

    def scalars(self) -> dict[str, float]:
        """Every number by a flat name; each worker's as `worker_RANK/NAME`."""
        flat = dict(self.values)
        for worker in self.as_line()["workers"]:
            prefix = f"worker_{worker['rank']}"
            flat |= {f"{prefix}/{name}": value for name, value in worker.items() if name not in ("rank", "address")}
        return flat
