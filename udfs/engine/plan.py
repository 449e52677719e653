"""What a gang of workers is to train: plain values that travel from the driver to every worker as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from udfs.captioner.model import CaptionerShape
from udfs.engine.reader import ExampleFile, Split

TENSORFLOW_BYTES = 700 * 2**20
NUMBER_BYTES = {"float32": 4, "float64": 8, "mixed_bfloat16": 4}


@dataclass(frozen=True)
class Plan:
    """A training run: the model, the examples of both splits, and the settings of the training loop.

    run_folder is a URI that every worker can read and the chief can write. batch_size is the global one of a step, in
    captions. The weights are updated after every `sync_every` steps, with one exchange of gradients; where `average_every`
    is not 0, each worker updates its own weights, and every so many updates they are averaged instead. An epoch's end does
    both. `token_counts` of the training captions, by token_id, begin the logits' bias; where empty, zeros do. A checkpoint is
    written every `checkpoint_every` steps (0: never in between) or at the first possible step after, and at each epoch's end.
    """

    run_folder: str
    shape: CaptionerShape
    train: Split
    validation: Split
    epochs: int
    batch_size: int
    length_window: int
    optimizer: str
    learning_rate: float
    learning_rate_schedule: str
    learning_rate_decay: float
    clip_norm: float
    l1: float
    l2: float
    weight_decay: float
    label_smoothing: float
    ema_momentum: float
    seed: int
    token_counts: tuple[int, ...]
    precision: str
    deterministic: bool
    collectives: str
    sync_every: int
    average_every: int
    outer_momentum: float
    all_reduce: str
    embedding_gradient: str
    gradient_rank: int
    gradient_sides: int
    validation_bleu: bool
    validation_beam_width: int
    monitor: str
    patience: int
    checkpoint_every: int
    keep_checkpoints: int

    @property
    def steps(self) -> int:
        """Steps an epoch, each one global batch."""
        return self.train.steps(self.batch_size)

    @property
    def updates(self) -> int:
        """Updates of the weights an epoch."""
        return -(-self.steps // self.sync_every)

    def updates_after(self, step: int) -> bool:
        """Whether the weights are updated after a step of an epoch, counted from 1."""
        return step % self.sync_every == 0 or step == self.steps

    def averages_after(self, step: int) -> bool:
        """Whether the workers' weights are averaged after it."""
        if not self.average_every:
            return False
        return step % (self.sync_every * self.average_every) == 0 or step == self.steps

    def agrees_after(self, step: int) -> bool:
        """Whether all workers have the same weights after it, and no gradient waits: where a checkpoint is possible."""
        return self.averages_after(step) if self.average_every else self.updates_after(step)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Plan:
        values = json.loads(text)
        values["shape"] = CaptionerShape(**values["shape"])
        values["token_counts"] = tuple(values["token_counts"])
        for name in ("train", "validation"):
            lanes = tuple(tuple(ExampleFile(**file) for file in lane) for lane in values[name]["lanes"])
            values[name] = Split(lanes, values[name]["width"])
        return Plan(**values)

    def worker_bytes(self, workers: int) -> int:
        """About how much memory one of so many workers takes, from above.

        TensorFlow itself; every weight with its gradient, the sum of it, two numbers of the optimizer, and copies for a
        checkpoint; a file of each of its lanes, with the copy that petastorm makes; its part of a batch's activations.
        """
        weights = 10 * self.shape.parameters
        rows = sum(max((file.rows for file in lane), default=0) for lane in self.train.lanes[::workers])
        examples = 3 * rows * (self.shape.feature_size + 5 * self.train.width)
        captions = -(-self.batch_size // workers)
        activations = 4 * captions * self.train.width * (self.shape.vocabulary_size // 2 + 16 * self.shape.lstm_units)
        return TENSORFLOW_BYTES + NUMBER_BYTES[self.precision] * (weights + examples + activations)


def workers_differ(train) -> bool:
    """Whether each worker has a state of its own, so that the outcome depends on their number; of a Plan or conf's Train."""
    return bool(train.local_sgd_steps or train.powersgd_rank)


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
