"""What a gang of workers is to train: plain values that travel from the driver to every worker as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from udfs.captioner import CaptionerShape
from udfs.reader import ExampleFile, Split


@dataclass(frozen=True)
class Plan:
    """A training run: the model, the examples of both splits, and the settings of the training loop.

    run_folder is a URI that every worker can read and the chief can write. batch_size is the global one, in captions.
    """

    run_folder: str
    shape: CaptionerShape
    train: Split
    validation: Split
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    clip_norm: float
    seed: int
    keep_checkpoints: int

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


@dataclass(frozen=True)
class Member:
    """A worker's place in the gang: its rank, every worker's host:port in order of rank, its cores and GPUs."""

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
