"""Joins a worker to its gang: TensorFlow's MultiWorkerMirroredStrategy, with the devices and timeouts that the gang needs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from udfs.devices import use_task_devices
from udfs.engine.plan import Member, Plan

if TYPE_CHECKING:
    import tensorflow as tf

HEARTBEAT_SECONDS = 3600


def join_gang(plan: Plan, member: Member) -> tf.distribute.Strategy:
    """Starts TensorFlow's collectives in this process and waits until every member has joined."""
    cluster = {"cluster": {"worker": member.addresses}, "task": {"type": "worker", "index": member.rank}}
    os.environ["TF_CONFIG"] = json.dumps(cluster)
    use_task_devices(member.cores, member.gpus)
    import tensorflow as tf

    if plan.deterministic:
        tf.config.experimental.enable_op_determinism()
    implementation = tf.distribute.experimental.CommunicationImplementation
    # NCCL needs a GPU that TensorFlow sees, whatever Spark has assigned.
    ring = implementation.NCCL if tf.config.list_physical_devices("GPU") else implementation.RING
    chosen = implementation.AUTO if plan.communication.collectives == "auto" else ring
    options = tf.distribute.experimental.CommunicationOptions(implementation=chosen)
    allow_late_heartbeats(member.workers)
    return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


def allow_late_heartbeats(workers: int) -> None:
    """Keeps TensorFlow from ending a gang whose heartbeats are late, which happens behind gradients on a slow link.

    The loss of a peer is still noticed, because its connections close. The driver's watchdog ends an attempt that makes no
    steps.
    """
    from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
    from tensorflow.python.eager import context

    # The same settings as MultiWorkerMirroredStrategy's, except for the timeout, for which it has no option.
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        coordinated_jobs=[CoordinatedJob(name="worker", num_tasks=workers)],
        heartbeat_timeout_in_ms=HEARTBEAT_SECONDS * 1000,
    )


def device_summary(member: Member, collectives: str) -> str:
    """The devices of this worker and how it exchanges gradients, in words."""
    import tensorflow as tf

    visible = len(tf.config.list_physical_devices("GPU"))
    if not member.gpus:
        return f"{member.cores} CPU threads; {collectives}"
    chosen = "NCCL" if visible and collectives == "ring" else collectives
    return f"GPUs {', '.join(member.gpus)}, of which TensorFlow finds {visible}; {chosen}"
