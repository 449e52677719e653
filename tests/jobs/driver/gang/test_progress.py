import logging

from jobs.driver.gang.progress import TrainingProgress
from udfs.engine.events import Step


def step(number, seconds, rank=0) -> Step:
    return Step(rank=rank, epoch=2, step=number, steps=40, loss=3.14159, seconds=seconds)


def test_without_a_terminal_a_line_now_and_then_says_how_far_it_is(caplog):
    caplog.set_level(logging.INFO)
    progress = TrainingProgress(3, 800, "captions", line_seconds=1e-6)
    progress(step(8, 2.0, rank=1))
    progress(step(10, 2.0))
    assert caplog.messages == ["step 10/40 of epoch 2/3  loss 3.1416  100 captions/s  2.00 s, worker 1 2 behind"]


def test_lines_are_apart_or_left_out(caplog):
    caplog.set_level(logging.INFO)
    for line_seconds in (60.0, 0.0):
        progress = TrainingProgress(3, 800, "captions", line_seconds)
        for number in range(1, 41):
            progress(step(number, number / 10))
        progress.close()
    assert caplog.messages == []
