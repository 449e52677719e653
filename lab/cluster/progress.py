"""The progress lines of a training, as jobs/train.py prints them without a terminal."""

from __future__ import annotations

import re
from dataclasses import dataclass

LINE = re.compile(r"(?:\w+: )?step (\d+)/(\d+) of epoch (\d+)/\d+  .*  ([\d.]+) s")


@dataclass(frozen=True)
class Mark:
    """One progress line.

    Args:
        epoch: The epoch, from 1.
        step: The steps of this epoch so far.
        seconds: Seconds since the epoch began, as the training measures them.
        received: Seconds since the training was started, when the line was read.
    """

    epoch: int
    step: int
    seconds: float
    received: float


def parse_line(line: str, received: float) -> tuple[Mark, int] | None:
    """The mark of a progress line and the number of steps in an epoch; None for any other line."""
    match = LINE.match(line)
    if match is None:
        return None
    step, steps, epoch = map(int, match.groups()[:3])
    return Mark(epoch, step, float(match[4]), received), steps


def with_epoch_starts(marks: list[Mark]) -> list[Mark]:
    """The marks, with one for the start of each epoch, which has no line: an epoch may have a single line."""
    complete: list[Mark] = []
    for mark in list(marks):
        if not complete or complete[-1].epoch != mark.epoch:
            complete.append(Mark(mark.epoch, 0, 0.0, mark.received - mark.seconds))
        complete.append(mark)
    return complete
