"""Observes one training in the laboratory from outside: its epochs, its network traffic and its messages."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np

from lab.cluster.laboratory import Laboratory
from lab.cluster.progress import Mark, parse_line, with_epoch_starts
from udfs.run_folder import RunFolder

SAMPLE_SECONDS = 0.5
END_SECONDS = 60  # for a driver to end after SIGTERM
PROGRESS_INTERVAL = "train.progress_seconds=1"
WARM_UP_SECONDS = 9  # after the first progress line, while graphs are still compiled


class ObservedTraining:
    """A training, which is started at once.

    Attributes:
        epochs: The lines of metrics.jsonl, each with the bytes that every node sent and received over its link since the
            previous line. The first epoch's bytes include everything before it.
        messages: The lines of standard error with the seconds since the start.
        marks: The progress lines.
        steps_an_epoch: Steps of an epoch; None before the first progress line.

    Args:
        laboratory: A running laboratory.
        command: Arguments of spark-submit.
        runs: The folder of the run folders.
        run_id: The id of the run, which must be new.
    """

    def __init__(self, laboratory: Laboratory, command: list[str], runs: Path, run_id: str):
        self.laboratory, self._folder = laboratory, RunFolder(str(runs / run_id))
        self.epochs: list[dict] = []
        self.messages: list[tuple[float, str]] = []
        self.marks: list[Mark] = []
        self.steps_an_epoch: int | None = None
        self._samples: list[tuple[float, dict[str, int]]] = []  # seconds, and bytes that each host has sent
        self._started = time.monotonic()
        self._last_traffic = self._first_traffic = laboratory.traffic()
        overrides = (f"paths.runs={runs}", f"run.id={run_id}", PROGRESS_INTERVAL)
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        self.process = laboratory.submit(*command, *overrides, **options)
        readers = (self._read_messages, self._drain_output)
        self._threads = [threading.Thread(target=reader, daemon=True) for reader in readers]
        for thread in self._threads:
            thread.start()

    def seconds(self) -> float:
        """Seconds since the training was started."""
        return round(time.monotonic() - self._started, 2)

    def _read_messages(self) -> None:
        for line in self.process.stderr:
            now = self.seconds()
            self.messages.append((now, line.rstrip()))
            if parsed := parse_line(line, now):
                mark, self.steps_an_epoch = parsed
                self.marks.append(mark)

    def _drain_output(self) -> None:
        for _ in self.process.stdout:
            pass

    def sample(self) -> None:
        """Records the traffic so far, and the epochs that have ended since the last sample."""
        traffic = self.laboratory.traffic()
        self._samples.append((self.seconds(), {host: sent for host, (sent, _) in traffic.items()}))
        try:
            lines = Path(self._folder.metrics).read_text().splitlines()
        except FileNotFoundError:
            return
        for line in lines[len(self.epochs) :]:
            self.epochs.append({**json.loads(line), **self._traffic_since_last_epoch(traffic)})
            self._last_traffic = traffic

    def _traffic_since_last_epoch(self, traffic: dict[str, tuple[int, int]]) -> dict[str, dict[str, int]]:
        names = [node.name for node in self.laboratory.hosts.nodes]
        return {
            "sent_bytes": {name: traffic[name][0] - self._last_traffic[name][0] for name in names},
            "received_bytes": {name: traffic[name][1] - self._last_traffic[name][1] for name in names},
        }

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Takes samples until the condition holds or the training has ended."""
        while self.process.poll() is None and not condition():
            self.sample()
            time.sleep(SAMPLE_SECONDS)

    def pace(self, seconds: float, since: float = 0.0) -> dict:
        """Measures the time and the traffic of a step. Warm-up and the time between epochs are left out.

        Args:
            seconds: How many seconds of training to measure.
            since: The start of the measurement, in seconds since the training was started.

        Returns:
            `steps` measured, `steps_an_epoch`, `seconds_a_step`, `sent_mb_a_step` by node, and the machine's `load`.

        Raises:
            RuntimeError: If the training ends before it can be measured.
        """
        self.wait_until(lambda: _seconds_of(self._spans(since)) >= seconds)
        self.sample()
        spans = self._spans(since)
        steps = sum(end.step - start.step for start, end in spans)
        if not steps:
            last_lines = "\n".join(map(str, self.messages[-20:]))
            raise RuntimeError(f"the training ended before it could be measured:\n{last_lines}")
        sent = {node.name: self._sent_during(spans, node.name) for node in self.laboratory.hosts.nodes}
        return {
            "steps": steps,
            "steps_an_epoch": self.steps_an_epoch,
            "seconds_a_step": round(_seconds_of(spans) / steps, 4),
            "sent_mb_a_step": {name: round(value / steps / 1e6, 4) for name, value in sent.items()},
            "load": os.getloadavg()[0],
        }

    def _spans(self, since: float) -> list[tuple[Mark, Mark]]:
        """Pairs of consecutive marks of the same epoch after a moment and after the warm-up."""
        start = max(since, self.marks[0].received + WARM_UP_SECONDS) if self.marks else since
        marks = [mark for mark in with_epoch_starts(self.marks) if mark.received >= start]
        return [(first, second) for first, second in pairwise(marks) if first.epoch == second.epoch]

    def _sent_during(self, spans: list[tuple[Mark, Mark]], node: str) -> float:
        """Bytes that a node sent during the spans, interpolated between the samples."""
        moments = [seconds for seconds, _ in self._samples]
        sent = [sent[node] for _, sent in self._samples]
        return sum(float(np.diff(np.interp([start.received, end.received], moments, sent))[0]) for start, end in spans)

    def end(self) -> None:
        """Ends the driver and the workers that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
        for thread in self._threads:
            thread.join()

    def finish(self) -> dict:
        """Waits for the training's end and returns its figures.

        Medians of the epochs leave out the first one if there are more.
        """
        self.wait_until(lambda: False)
        for thread in self._threads:
            thread.join()
        self.sample()
        later = self.epochs[1:] or self.epochs
        steps, traffic = self.steps_an_epoch, self.laboratory.traffic()
        an_epoch = _median(epoch["seconds"] for epoch in later)
        names = [node.name for node in self.laboratory.hosts.nodes]
        return {
            "exit_code": self.process.returncode,
            "seconds": self.seconds(),
            "load": os.getloadavg()[1],  # over the last five minutes
            "attempts": len(list(Path(self._folder.attempts).glob("[0-9]*.json"))),
            "steps_an_epoch": steps,
            "seconds_an_epoch": an_epoch,
            "seconds_a_step": round(an_epoch / steps, 4) if steps and an_epoch is not None else None,
            "sent_mb_an_epoch": {
                name: _median(epoch["sent_bytes"][name] / 1e6 for epoch in later) for name in names
            },
            "sent_mb_in_all": {name: (traffic[name][0] - self._first_traffic[name][0]) / 1e6 for name in traffic},
            "epochs": self.epochs,
            "messages": self.messages,
        }  # fmt: skip


def _seconds_of(spans: list[tuple[Mark, Mark]]) -> float:
    return sum(end.seconds - start.seconds for start, end in spans)


def _median(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return round(median(numbers), 3) if numbers else None


def losses(training: dict) -> list[float]:
    """The validation losses of a finished training by epoch. They are equal if and only if the same was learned."""
    return [epoch["val_loss"] for epoch in training["epochs"]]
