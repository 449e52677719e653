"""What workers, their tasks and the driver tell each other: one JSON line per event.

A worker process writes events to its standard output. Its supervisor, in the Spark task, adds its own and sends all of them
to the driver.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from udfs.engine.metrics import EpochMetrics


@dataclass(frozen=True)
class Placed:
    """The task has its rank; `address` is host:port of its worker."""

    kind: ClassVar[str] = "placed"
    rank: int
    address: str


@dataclass(frozen=True)
class Started:
    """The task has started its worker process."""

    kind: ClassVar[str] = "started"
    rank: int
    pid: int


@dataclass(frozen=True)
class Heartbeat:
    """The task is alive; `state` is that of its worker process: running, sleeping, stopped, ..."""

    kind: ClassVar[str] = "heartbeat"
    rank: int
    state: str


@dataclass(frozen=True)
class Ready:
    """The worker has joined the gang and continues after this step."""

    kind: ClassVar[str] = "ready"
    rank: int
    epoch: int
    step: int
    devices: str


@dataclass(frozen=True)
class Step:
    """The worker has completed a training step; `loss` is the epoch's mean so far, `seconds` its time so far."""

    kind: ClassVar[str] = "step"
    rank: int
    epoch: int
    step: int
    steps: int
    loss: float
    seconds: float


@dataclass(frozen=True)
class Validation:
    """The worker has completed a validation step; `steps` is 0 while it computes scores."""

    kind: ClassVar[str] = "validation"
    rank: int
    epoch: int
    step: int
    steps: int


@dataclass(frozen=True)
class Epoch:
    """The worker has completed an epoch and its validation."""

    kind: ClassVar[str] = "epoch"
    rank: int
    metrics: EpochMetrics


@dataclass(frozen=True)
class Result:
    """The worker's last event if training ended: the summary, the same on every worker."""

    kind: ClassVar[str] = "result"
    rank: int
    summary: dict[str, Any]


@dataclass(frozen=True)
class NonRetryable:
    """The worker's last event if another attempt would fail in the same way; `why` is `input` or `superseded`."""

    kind: ClassVar[str] = "non_retryable"
    rank: int
    why: str
    error: str


@dataclass(frozen=True)
class Finished:
    """The task has its worker's result."""

    kind: ClassVar[str] = "finished"
    rank: int


@dataclass(frozen=True)
class Failed:
    """The worker failed; `why` is input, superseded, killed, crashed, lost or stalled, `lines` its last log lines."""

    kind: ClassVar[str] = "failed"
    rank: int
    why: str
    error: str
    lines: str


Event = Placed | Started | Heartbeat | Ready | Step | Validation | Epoch | Result | NonRetryable | Finished | Failed
KINDS: dict[str, type[Event]] = {
    event.kind: event
    for event in (Placed, Started, Heartbeat, Ready, Step, Validation, Epoch, Result, NonRetryable, Finished, Failed)
}
FATAL = ("input", "superseded")
"""Reasons after which another attempt would fail in the same way."""


def encode(event: Event) -> str:
    """The event as one JSON line, without the line break."""
    return json.dumps({"kind": event.kind, **asdict(event)})


def decode(line: str | bytes) -> Event:
    """The event in a JSON line.

    Raises:
        ValueError: If the line is not an event.
    """
    values = json.loads(line)
    if not isinstance(values, dict) or values.get("kind") not in KINDS:
        raise ValueError(f"found {str(line)[:100]!r}, expected an event")
    kind = KINDS[values.pop("kind")]
    if set(values) != {field.name for field in fields(kind)}:
        raise ValueError(f"found the fields {sorted(values)}, expected those of {kind.__name__}")
    if kind is Epoch:
        values["metrics"] = EpochMetrics.from_json(values["metrics"])
    return kind(**values)
