"""Follows the workers of an attempt: decides when the attempt must end, and which worker caused its failure."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from udfs.engine.events import (
    FATAL,
    Epoch,
    Event,
    Failed,
    Finished,
    Heartbeat,
    Placed,
    Ready,
    Step,
    Validation,
)

SILENCE_SECONDS = 15.0  # members send a heartbeat every second


@dataclass
class WorkerState:
    """What is known of a worker. Times are monotonic seconds.

    Attributes:
        progressed: When it last completed a step.
        heard: When its last event arrived.
        place: Where it is in training, in words.
        process: The state of its process: running, sleeping, stopped, ...
    """

    progressed: float
    heard: float
    address: str = "an executor that sent nothing"
    is_ready: bool = False
    is_finished: bool = False
    place: str = "before its first step"
    process: str = "starting"


@dataclass
class GangWatchdog:
    """Follows the events of one attempt's workers.

    Args:
        workers: The number of workers.
        start_timeout: Seconds within which all workers must be ready.
        stall_timeout: Seconds within which a worker must complete a step.

    Attributes:
        failures: The failures reported so far, in order.
        stall: The failure for which the driver ends the attempt, if it does.
    """

    workers: int
    start_timeout: float
    stall_timeout: float
    failures: list[Failed] = field(default_factory=list)
    stall: Failed | None = None

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        self.states = {rank: WorkerState(self.began, self.began) for rank in range(self.workers)}

    def receive(self, event: Event) -> None:
        now, worker = time.monotonic(), self.states[event.rank]
        worker.heard = now
        if isinstance(event, Placed):
            worker.address = event.address
        elif isinstance(event, Heartbeat):
            worker.process = event.state
        elif isinstance(event, Failed):
            self.failures.append(event)
        elif isinstance(event, Ready | Step | Validation | Epoch | Finished):
            worker.progressed, worker.is_ready, worker.is_finished = now, True, isinstance(event, Finished)
            if isinstance(event, Step | Validation):
                part = "validation " if isinstance(event, Validation) else ""
                worker.place = f"at epoch {event.epoch}, {part}step {event.step}"

    def lost(self, rank: int) -> None:
        """Takes the end of a member's connection as a failure, unless its worker finished or its failure is known."""
        if not self.states[rank].is_finished and rank not in {failure.rank for failure in self.failures}:
            error = f"{self._name(rank)} was lost with its executor, {self.states[rank].place}"
            self.failures.append(Failed(rank, "lost", error, ""))

    def must_end(self) -> bool:
        """Whether the attempt hangs and must be ended now; `stall` then holds the reason."""
        now = time.monotonic()
        missing = [rank for rank, worker in self.states.items() if not worker.is_ready]
        stalled = [
            rank
            for rank, worker in self.states.items()
            if not worker.is_finished and now - worker.progressed > self.stall_timeout
        ]
        if missing and now - self.began > self.start_timeout:
            self._end(
                missing[0],
                f"recovery.start_timeout: {self.workers - len(missing)} of {self.workers} workers were ready after "
                f"{self.start_timeout:.0f} s; missing: {', '.join(map(self._name, missing))}",
            )
        elif stalled and not missing:
            rank, sign = self._suspect()
            self._end(
                rank,
                f"recovery.stall_timeout: no step for {self.stall_timeout:.0f} s, waiting for {self._name(rank)}, "
                f"{self.states[rank].place}: {sign}",
            )
        return self.stall is not None

    def cause(self) -> Failed | None:
        """The failure that caused the others: that of a stopped worker, otherwise the first one reported."""
        if self.stall:
            return replace(self.stall, lines=self._lines(self.stall.rank))
        stopped = self._stopped()
        if stopped and not any(failure.why in FATAL for failure in self.failures):
            rank = stopped[0]
            worker = self.states[rank]
            error = f"{self._name(rank)} made no progress, its process {worker.process}, {worker.place}"
            return Failed(rank, "stalled", error, self._lines(rank))
        return self.failures[0] if self.failures else None

    def _end(self, rank: int, error: str) -> None:
        self.stall = Failed(rank, "stalled", error, "")

    def _suspect(self) -> tuple[int, str]:
        """The worker that the others wait for, and the evidence: it is stopped, or silent, or made its last step first."""
        now = time.monotonic()
        for rank in self._stopped():
            return rank, f"its process is {self.states[rank].process}"
        for rank, worker in self.states.items():
            if not worker.is_finished and now - worker.heard > SILENCE_SECONDS:
                return rank, f"its task has sent nothing for {now - worker.heard:.0f} s"
        rank = min(self.states, key=lambda rank: self.states[rank].progressed)
        return rank, f"its process is {self.states[rank].process}"

    def _stopped(self) -> list[int]:
        return [rank for rank, worker in self.states.items() if worker.process == "stopped" and not worker.is_finished]

    def _lines(self, rank: int) -> str:
        return next((failure.lines for failure in self.failures if failure.rank == rank), "")

    def _name(self, rank: int) -> str:
        return f"worker {rank} on {self.states[rank].address}"
