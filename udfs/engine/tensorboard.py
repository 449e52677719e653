"""An epoch's metrics as an event file for TensorBoard, built in memory so that any store can take it in one write."""

from __future__ import annotations

import io
import time

from udfs.engine.metrics import EpochMetrics


def event_file(metrics: EpochMetrics) -> bytes:
    """The numbers of an epoch as scalars at step `epoch`; each worker's as `worker_RANK/NAME`."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    now, stream = time.time(), io.BytesIO()
    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in metrics.scalars().items()]
    writer = RecordWriter(stream)
    writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
    writer.write(Event(wall_time=now, step=metrics.epoch, summary=Summary(value=values)).SerializeToString())
    return stream.getvalue()
