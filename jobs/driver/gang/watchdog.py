"""What the driver knows of each worker of an attempt: when it must end the attempt, and who is to blame."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

MOVES = ("ready", "step", "validation", "epoch", "finished")
SILENCE_SECONDS = 15.0  # members beat every second


@dataclass
class WorkerState:
    """The last that was heard of a worker. Times are monotonic seconds."""

    moved: float
    heard: float
    address: str = "an executor that was not heard of"
    ready: bool = False
    finished: bool = False
    place: str = "before its first step"
    state: str = "starting"


@dataclass
class GangWatch:
    """Follows the events of one attempt's workers.

    start_timeout: seconds until all must be ready. stall_timeout: seconds that a worker may take for a step.
    """

    workers: int
    start_timeout: float
    stall_timeout: float
    failures: list[dict] = field(default_factory=list)
    stall: dict | None = None  # the failure for which the driver ended the attempt

    def __post_init__(self):
        self.began = time.monotonic()
        self.states = {rank: WorkerState(self.began, self.began) for rank in range(self.workers)}

    def receive(self, event: dict) -> None:
        now, kind, worker = time.monotonic(), event["kind"], self.states[event["rank"]]
        worker.heard = now
        if kind == "placed":
            worker.address = event["address"]
        elif kind == "beat":
            worker.state = event["state"]
        elif kind == "failed":
            self.failures.append(event)
        elif kind in MOVES:
            worker.moved, worker.ready, worker.finished = now, True, kind == "finished"
            if kind in ("step", "validation"):
                worker.place = (
                    f"at epoch {event['epoch']}, {'validation ' * (kind == 'validation')}step {event['step']}"
                )

    def lost(self, rank: int) -> None:
        """A member's line broke; a blow to the attempt unless its worker was done or its failure is known."""
        if not self.states[rank].finished and rank not in {failure["rank"] for failure in self.failures}:
            error = f"{self._who(rank)} was lost with its executor, {self.states[rank].place}"
            self.failures.append({"rank": rank, "why": "lost", "error": error, "lines": ""})

    def must_end(self) -> bool:
        """Whether the attempt hangs and must be ended now; `stall` then says why."""
        now = time.monotonic()
        missing = [rank for rank, worker in self.states.items() if not worker.ready]
        stalled = [r for r, w in self.states.items() if not w.finished and now - w.moved > self.stall_timeout]
        if missing and now - self.began > self.start_timeout:
            self._end(
                f"recovery.start_timeout: {self.workers - len(missing)} of {self.workers} workers were ready after "
                f"{self.start_timeout:.0f} s, without {', '.join(map(self._who, missing))}",
                missing[0],
            )
        elif stalled and not missing:
            suspect, sign = self._suspect()
            self._end(
                f"recovery.stall_timeout: no step for {self.stall_timeout:.0f} s, waiting for {self._who(suspect)}, "
                f"{self.states[suspect].place}: {sign}",
                suspect,
            )
        return self.stall is not None

    def blame(self) -> dict | None:
        """The failure that the others follow from: a frozen worker's, or else the first that was heard of."""
        if self.stall:
            return {**self.stall, "lines": self._lines(self.stall["rank"])}
        frozen = self._frozen()
        if frozen and not any(failure["why"] in ("input", "superseded") for failure in self.failures):
            worker = self.states[frozen[0]]
            error = f"{self._who(frozen[0])} stood still, its process {worker.state}, {worker.place}"
            return {"why": "stalled", "error": error, "lines": self._lines(frozen[0])}
        return self.failures[0] if self.failures else None

    def _end(self, error: str, rank: int) -> None:
        self.stall = {"rank": rank, "why": "stalled", "error": error}

    def _suspect(self) -> tuple[int, str]:
        """The worker that the others wait for, and the sign of it: stopped, or silent, or else the first that stood still."""
        now = time.monotonic()
        for rank in self._frozen():
            return rank, f"its process is {self.states[rank].state}"
        for rank, worker in self.states.items():
            if not worker.finished and now - worker.heard > SILENCE_SECONDS:
                return rank, f"its task was not heard of for {now - worker.heard:.0f} s"
        rank = min(self.states, key=lambda r: self.states[r].moved)
        return rank, f"its process is {self.states[rank].state}"

    def _frozen(self) -> list[int]:
        return [rank for rank, worker in self.states.items() if worker.state == "stopped" and not worker.finished]

    def _lines(self, rank: int) -> str:
        return next((failure["lines"] for failure in self.failures if failure["rank"] == rank), "")

    def _who(self, rank: int) -> str:
        return f"worker {rank} on {self.states[rank].address}"
