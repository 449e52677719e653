"""An epoch's metrics as an event file for TensorBoard, in memory, so that it can be written anywhere in one move."""

from __future__ import annotations

import io
import time


def event_file(line: dict) -> bytes:
    """The numbers of a line of metrics.jsonl as scalars at step `epoch`; each worker's as `worker_RANK/NAME`."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    now, stream = time.time(), io.BytesIO()
    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(line).items()]
    writer = RecordWriter(stream)
    writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
    writer.write(Event(wall_time=now, step=line["epoch"], summary=Summary(value=values)).SerializeToString())
    return stream.getvalue()


def scalars(line: dict) -> dict[str, float]:
    """The numbers of a line of metrics.jsonl by a flat name."""
    flat = {
        name: value for name, value in line.items() if isinstance(value, int | float) and name not in ("epoch", "rank")
    }
    for worker in line["workers"]:
        flat |= {f"worker_{worker['rank']}/{name}": v for name, v in worker.items() if name not in ("rank", "address")}
    return flat
