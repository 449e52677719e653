"""What a gang of workers is to train: plain values that travel from the driver to every worker as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from udfs.captioner import CaptionerShape
from udfs.reader import ExampleFile, Split

TENSORFLOW_BYTES = 700 * 2**20
NUMBER_BYTES = {"float32": 4, "float64": 8}


@dataclass(frozen=True)
class Plan:
    """A training run: the model, the examples of both splits, and the settings of the training loop.

    run_folder is a URI that every worker can read and the chief can write. batch_size is the global one, in captions.
    A checkpoint is written every `checkpoint_every` steps (0: never in between) and at each epoch's end.
    """

    run_folder: str
    shape: CaptionerShape
    train: Split
    validation: Split
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    learning_rate_schedule: str
    clip_norm: float
    seed: int
    precision: str
    deterministic: bool
    checkpoint_every: int
    keep_checkpoints: int

    @property
    def steps(self) -> int:
        """Training steps an epoch."""
        return self.train.steps(self.batch_size)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Plan:
        values = json.loads(text)
        values["shape"] = CaptionerShape(**values["shape"])
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
