"""What a gang of workers is to train: plain values that travel from the driver to every worker as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from udfs.engine.reader import ExampleFile, Split
from udfs.engine.task import Task, task_from_json, task_to_json


@dataclass(frozen=True)
class OptimizerPlan:
    """The optimizer and what acts on gradients and weights; the fields are those of the configuration's `optimizer`."""

    name: str
    momentum: float
    nesterov: bool
    learning_rate: float
    schedule: str
    warmup_steps: int
    decay: float
    clip_norm: float
    l1: float
    l2: float
    weight_decay: float
    ema_decay: float


@dataclass(frozen=True)
class CommunicationPlan:
    """What the workers exchange and how often; the fields are those of the configuration's `communication`."""

    gradient_accumulation_steps: int
    local_sgd_steps: int
    outer_momentum: float
    dtype: str
    powersgd_rank: int
    sparse_embedding: bool
    collectives: str

    @property
    def workers_differ(self) -> bool:
        """Whether each worker has a state of its own, so that the trained weights depend on the number of workers."""
        return bool(self.local_sgd_steps or self.powersgd_rank)


@dataclass(frozen=True)
class Plan:
    """A training run: the task, the examples of both splits, and the settings of the training loop.

    Attributes:
        run_folder: URI of the run's folder, which every worker reads and the chief writes.
        task: What is trained.
        train: The training examples.
        validation: The examples that choose the best epoch.
        batch_size: Global batch size of a step, in examples.
        bucket_by_length: Batches across which examples are grouped by length; 0 mixes all lengths.
        precision: float32, float64 or mixed_bfloat16.
        monitor: `val_loss`, which is minimised, or one of the task's scores, which is maximised.
        patience: Epochs without improvement before training stops; 0 never stops.
        checkpoint_every: Steps between checkpoints within an epoch; 0 writes one at its end only. A checkpoint is written
            at the first step after which all workers have the same weights.
        initial_weights: URI of a model file whose weights training begins with; empty for new weights.
        steps_per_epoch: Steps after which an epoch ends and the validation split is scored; 0 for a pass over all examples.
        cache_bytes: Bytes of examples that each worker keeps in memory after reading them; it does not affect the weights.
    """

    run_folder: str
    task: Task
    train: Split
    validation: Split
    epochs: int
    batch_size: int
    bucket_by_length: int
    optimizer: OptimizerPlan
    communication: CommunicationPlan
    seed: int
    precision: str
    deterministic: bool
    monitor: str
    patience: int
    checkpoint_every: int
    keep_checkpoints: int
    cache_bytes: int = 0
    initial_weights: str = ""
    steps_per_epoch: int = 0

    @property
    def steps(self) -> int:
        """Steps per epoch, one global batch each."""
        return self.steps_per_epoch or self.steps_per_pass

    @property
    def steps_per_pass(self) -> int:
        """Steps in which every example is seen once."""
        return self.train.steps(self.batch_size)

    @property
    def updates(self) -> int:
        """Updates of the weights per epoch."""
        return -(-self.steps // self.communication.gradient_accumulation_steps)

    def updates_after(self, step: int) -> bool:
        """Whether the weights are updated after a step of an epoch, counted from 1."""
        return step % self.communication.gradient_accumulation_steps == 0 or step == self.steps

    def to_json(self) -> str:
        values = {**asdict(self), "task": task_to_json(self.task)}
        return json.dumps(values)

    @staticmethod
    def from_json(text: str) -> Plan:
        values = json.loads(text)
        values["task"] = task_from_json(values["task"])
        values["optimizer"] = OptimizerPlan(**values["optimizer"])
        values["communication"] = CommunicationPlan(**values["communication"])
        for name in ("train", "validation"):
            shards = values[name]["shards"]
            values[name] = Split(tuple(tuple(ExampleFile(**file) for file in shard) for shard in shards))
        return Plan(**values)


@dataclass(frozen=True)
class Member:
    """A worker's place in the gang: the attempt, its rank, every worker's host:port by rank, its cores and GPUs."""

    attempt: int
    rank: int
    addresses: list[str]
    cores: int
    gpus: list[str]

    @property
    def workers(self) -> int:
        return len(self.addresses)

    @property
    def is_chief(self) -> bool:
        return self.rank == 0
