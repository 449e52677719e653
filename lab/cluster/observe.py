"""One training in the laboratory, watched from outside: its epochs, its bytes on the wire, what it said and when."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np

from lab.cluster.laboratory import Laboratory

LOOK_SECONDS = 0.5
END_SECONDS = 60  # for a driver that was asked to end
PROGRESS = re.compile(r"step (\d+)/(\d+) of epoch (\d+)/\d+  .*  ([\d.]+) s")
EVERY = "train.progress_seconds=1"  # between lines of progress
WARMING_SECONDS = 9  # after the first line of progress, while graphs are still compiled


@dataclass(frozen=True)
class Mark:
    """A line of progress: a step of an epoch, the seconds since the epoch began, and when the line was heard."""

    epoch: int
    step: int
    seconds: float
    heard: float


class Observed:
    """A training while it runs and after. `runs` is the folder of the runs; the run is new and named `run_id`.

    `epochs` are the lines of metrics.jsonl with the bytes that each node sent and received over its link since the line
    before; the first epoch's include what came before it. `said` are the lines of standard error with their seconds.
    """

    def __init__(self, laboratory: Laboratory, command: list[str], runs: Path, run_id: str):
        self.laboratory, self.folder = laboratory, runs / run_id
        self.epochs: list[dict] = []
        self.said: list[tuple[float, str]] = []
        self.flow: list[tuple[float, dict[str, int]]] = []  # bytes that each node has sent, over time
        self.marks: list[Mark] = []
        self.steps_an_epoch: int | None = None
        self.began = time.monotonic()
        self._last = self._start = laboratory.traffic()
        own = (f"paths.runs={runs}", f"run.id={run_id}", EVERY)
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        self.process = laboratory.submit(*command, *own, **options)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._drain)]
        for thread in self._threads:
            thread.start()

    def seconds(self) -> float:
        return round(time.monotonic() - self.began, 2)

    def _listen(self) -> None:
        for line in self.process.stderr:
            now = self.seconds()
            self.said.append((now, line.rstrip()))
            if found := PROGRESS.match(line):
                step, self.steps_an_epoch, epoch = map(int, found.groups()[:3])
                self.marks.append(Mark(epoch, step, float(found[4]), now))

    def _drain(self) -> None:
        self.line = "".join(self.process.stdout)

    def look(self) -> None:
        """Takes down how far the training is now."""
        now = self.laboratory.traffic()
        self.flow.append((self.seconds(), {host: sent for host, (sent, _) in now.items()}))
        try:
            lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return
        for line in lines[len(self.epochs) :]:
            nodes = [node.name for node in self.laboratory.nodes]
            moved = {
                "sent_bytes": {name: now[name][0] - self._last[name][0] for name in nodes},
                "received_bytes": {name: now[name][1] - self._last[name][1] for name in nodes},
            }
            self.epochs.append({**json.loads(line), **moved})
            self._last = now

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Looks until the condition holds or the training has ended."""
        while self.process.poll() is None and not condition():
            self.look()
            time.sleep(LOOK_SECONDS)

    def pace(self, seconds: float, since: float = 0.0) -> dict:
        """Watches so many seconds of training after the moment `since`: what a step took, and what each node sent for it.

        The first seconds, with the graphs' compilation, do not count, nor what lies between epochs.
        """

        def spans() -> list[tuple[Mark, Mark]]:
            begin = max(since, self.marks[0].heard + WARMING_SECONDS) if self.marks else since
            late = [mark for mark in with_beginnings(self.marks) if mark.heard >= begin]
            return [(one, next_) for one, next_ in pairwise(late) if one.epoch == next_.epoch]

        self.wait_until(lambda: sum(next_.seconds - one.seconds for one, next_ in spans()) >= seconds)
        self.look()
        found = spans()
        steps = sum(next_.step - one.step for one, next_ in found)
        if not steps:
            raise RuntimeError(
                "the training ended before it could be measured:\n" + "\n".join(map(str, self.said[-20:]))
            )
        took = sum(next_.seconds - one.seconds for one, next_ in found)
        sent = {
            node.name: sum(
                self._sent(node.name, next_.heard) - self._sent(node.name, one.heard) for one, next_ in found
            )
            for node in self.laboratory.nodes
        }
        return {
            "steps": steps,
            "steps_an_epoch": self.steps_an_epoch,
            "seconds_a_step": round(took / steps, 4),
            "sent_mb_a_step": {name: round(value / steps / 1e6, 4) for name, value in sent.items()},
            "load": os.getloadavg()[0],
        }

    def _sent(self, node: str, moment: float) -> float:
        """Bytes that a node had sent by a moment, between the looks before and after it."""
        moments = [seconds for seconds, _ in self.flow]
        return float(np.interp(moment, moments, [sent[node] for _, sent in self.flow]))

    def end(self) -> None:
        """Asks the driver to end, with the workers it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
        for thread in self._threads:
            thread.join()

    def finish(self) -> dict:
        """Waits for the end and tells what came of it. Steps and seconds a step leave the first epoch out where they can."""
        self.wait_until(lambda: False)
        for thread in self._threads:
            thread.join()
        self.look()
        later = self.epochs[1:] or self.epochs
        steps = self.steps_an_epoch
        now = self.laboratory.traffic()
        return {
            "exit_code": self.process.returncode,
            "seconds": self.seconds(),
            "load": os.getloadavg()[1],  # over the last five minutes
            "attempts": len(list((self.folder / "attempts").glob("[0-9]*.json"))),
            "steps_an_epoch": steps,
            "seconds_an_epoch": _median(epoch["seconds"] for epoch in later),
            "seconds_a_step": steps and round(_median(epoch["seconds"] for epoch in later) / steps, 4),
            "sent_mb_an_epoch": {
                node.name: _median(epoch["sent_bytes"][node.name] / 1e6 for epoch in later)
                for node in self.laboratory.nodes
            },
            "sent_mb_in_all": {name: (now[name][0] - self._start[name][0]) / 1e6 for name in now},
            "epochs": self.epochs,
            "said": self.said,
        }


def with_beginnings(marks: list[Mark]) -> list[Mark]:
    """Lines of progress, and a mark for the beginning of each epoch, which no line tells: an epoch may have but one."""
    found: list[Mark] = []
    for mark in list(marks):
        if not found or found[-1].epoch != mark.epoch:
            found.append(Mark(mark.epoch, 0, 0.0, mark.heard - mark.seconds))
        found.append(mark)
    return found


def _median(values) -> float | None:
    found = list(values)
    return round(median(found), 3) if found else None


def losses(found: dict) -> list[float]:
    """The validation losses of a training that has ended, by epoch: the same where the same was learned."""
    return [epoch["val_loss"] for epoch in found["epochs"]]
