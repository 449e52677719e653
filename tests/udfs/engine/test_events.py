import json

import pytest

from udfs.engine.events import (
    KINDS,
    Epoch,
    Failed,
    Finished,
    Heartbeat,
    NonRetryable,
    Placed,
    Ready,
    Result,
    Started,
    Step,
    Validation,
    decode,
    encode,
)
from udfs.engine.metrics import EpochMetrics, WorkerMetrics

WORKER = WorkerMetrics(
    rank=1, address="host:2", examples=80, cpu_cores=0.9, memory_mb=300.0, sent_mb=1.5, received_mb=1.5
)
EPOCH = EpochMetrics(3, {"loss": 2.5, "val_loss": 2.75, "bleu4": 0.1}, (WORKER,), "captions")
EVENTS = [
    Placed(0, "host:1"), Started(0, 4711), Heartbeat(0, "running"), Ready(0, 2, 10, "2 CPU threads; ring"),
    Step(1, 2, 11, 50, 2.5, 3.25), Validation(1, 2, 0, 0), Epoch(1, EPOCH), Result(0, {"epochs": 3, "val_loss": 2.75}),
    NonRetryable(0, "input", "a file was changed"), Finished(1), Failed(1, "killed", "by SIGKILL", "the last\nlines\n"),
]  # fmt: skip


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_is_one_line_and_comes_back_as_it_was(event):
    line = encode(event)
    assert "\n" not in line
    assert decode(line) == event
    assert decode(line.encode()) == event


def test_every_kind_is_tested():
    assert {event.kind for event in EVENTS} == set(KINDS)


@pytest.mark.parametrize(
    "line",
    [
        "", "{", "[1]", '"step"', "{}", '{"kind": "nonsense", "rank": 0}', '{"kind": "finished"}',
        '{"kind": "finished", "rank": 0, "x": 1}',
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused(line):
    with pytest.raises(ValueError, match=r"."):
        decode(line)


def test_a_line_of_metrics_is_flat_and_names_the_examples():
    line = EPOCH.as_line()
    assert line["workers"] == [
        {
            "rank": 1,
            "address": "host:2",
            "captions": 80,
            "cpu_cores": 0.9,
            "memory_mb": 300.0,
            "sent_mb": 1.5,
            "received_mb": 1.5,
        }
    ]
    assert {key: line[key] for key in ("epoch", "loss", "val_loss", "bleu4")} == {
        "epoch": 3, "loss": 2.5, "val_loss": 2.75, "bleu4": 0.1,
    }  # fmt: skip
    again = EpochMetrics.from_line(json.loads(json.dumps(line)))
    assert (again.epoch, again.values) == (EPOCH.epoch, EPOCH.values)
    assert EPOCH.scalars()["worker_1/captions"] == 80
