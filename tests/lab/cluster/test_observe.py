"""What is read out of a training's lines of progress."""

from __future__ import annotations

from lab.cluster.observe import PROGRESS, Mark, with_beginnings


def test_a_line_of_progress_tells_its_step_epoch_and_seconds():
    found = PROGRESS.match("step 120/235 of epoch 3/8  loss 2.9  4,321 captions/s  31.7 s")
    assert found.groups() == ("120", "235", "3", "31.7")


def test_each_epoch_begins_with_a_mark_of_its_own():
    """So that an epoch with one line of progress still tells what its steps took."""
    told = [Mark(1, 4, 2.0, 10.0), Mark(1, 8, 4.0, 12.0), Mark(2, 5, 3.0, 17.0)]
    assert with_beginnings(told) == [Mark(1, 0, 0.0, 8.0), *told[:2], Mark(2, 0, 0.0, 14.0), told[2]]
