"""What is read from a training's progress lines."""

from __future__ import annotations

from lab.cluster.progress import LINE, Mark, parse_line, with_epoch_starts


def test_a_progress_line_gives_step_epoch_and_seconds():
    line = "step 120/235 of epoch 3/8  loss 2.9  4,321 captions/s  31.7 s"
    assert LINE.match(line).groups() == ("120", "235", "3", "31.7")
    assert parse_line(line, 40.0) == parse_line(f"train: {line}", 40.0) == (Mark(3, 120, 31.7, 40.0), 235)
    assert parse_line("worker 0 is ready: 1 CPU", 40.0) is None


def test_each_epoch_starts_with_a_mark():
    """So that an epoch with a single progress line also shows the time of its steps."""
    marks = [Mark(1, 4, 2.0, 10.0), Mark(1, 8, 4.0, 12.0), Mark(2, 5, 3.0, 17.0)]
    assert with_epoch_starts(marks) == [Mark(1, 0, 0.0, 8.0), *marks[:2], Mark(2, 0, 0.0, 14.0), marks[2]]
