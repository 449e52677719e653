"""The training loop of one worker, from the first batch to the saved model."""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property

import numpy as np

from udfs.captioner.beam_search import Decoder, Search
from udfs.captioner.model import build_captioner, set_number_format
from udfs.captioner.validation import count_ngrams
from udfs.devices import use_task_devices
from udfs.engine import checkpoint
from udfs.engine.attempts import RunWriter
from udfs.engine.checkpoint import Checkpoint
from udfs.engine.learning_curves import best_line, diagnose, out_of_patience
from udfs.engine.plan import Member, Plan
from udfs.engine.reader import Split, worker_batches
from udfs.engine.step import Engine
from udfs.engine.tensorboard import event_file
from udfs.engine.usage import Usage
from udfs.errors import InputError
from udfs.scoring.bleu import ORDERS, BleuCounts, bleu_scores

REPORT_SECONDS = 0.5
HEARTBEAT_SECONDS = 3600
BLEU = tuple(f"bleu{order}" for order in ORDERS)
BEGINNING = {"epoch": 1, "step": 0, "sums": [0.0, 0.0, 0.0], "seconds": 0.0, "history": []}


def train(plan: Plan, member: Member, report: Callable[[dict], None]) -> dict:
    """Trains the captioner together with the other members; every one returns the same summary.

    Starts at the newest checkpoint of the run folder. The chief writes checkpoints, metrics.jsonl, TensorBoard's event
    files and model.keras, which holds the weights of the best epoch by the plan's monitor. `report` receives what happens
    as it happens. Raises InputError where going on is pointless, and Superseded where a newer attempt holds the run.
    """
    return Training(plan, member, start_engine(plan, member), report).run()


def start_engine(plan: Plan, member: Member) -> Engine:
    """Joins the gang: TensorFlow's collectives start here and wait for every member."""
    cluster = {"cluster": {"worker": member.addresses}, "task": {"type": "worker", "index": member.rank}}
    os.environ["TF_CONFIG"] = json.dumps(cluster)
    use_task_devices(member.cores, member.gpus)
    import tensorflow as tf

    if plan.deterministic:
        tf.config.experimental.enable_op_determinism()
    communication = tf.distribute.experimental.CommunicationImplementation
    # NCCL needs a GPU that TensorFlow sees, whatever Spark assigned.
    ring = communication.NCCL if tf.config.list_physical_devices("GPU") else communication.RING
    chosen = communication.AUTO if plan.collectives == "auto" else ring
    options = tf.distribute.experimental.CommunicationOptions(implementation=chosen)
    wait_long_for_heartbeats(member.workers)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    return Engine(strategy, plan, member.rank, member.workers)


def wait_long_for_heartbeats(workers: int) -> None:
    """Keeps TensorFlow from ending a gang whose heartbeats are late, as they are behind gradients on a slow link.

    A peer that died is noticed by its closed connections, and the driver's watch ends an attempt that makes no steps.
    """
    from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
    from tensorflow.python.eager import context

    # What MultiWorkerMirroredStrategy would set, but for the time; it has no option for it.
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        coordinated_jobs=[CoordinatedJob(name="worker", num_tasks=workers)],
        heartbeat_timeout_in_ms=HEARTBEAT_SECONDS * 1000,
    )


def describe_devices(member: Member, collectives: str) -> str:
    """What this worker computes on, and how it exchanges gradients."""
    import tensorflow as tf

    found = len(tf.config.list_physical_devices("GPU"))
    if not member.gpus:
        return f"{member.cores} CPU threads; {collectives}"
    chosen = "NCCL" if found and collectives == "ring" else collectives
    return f"GPUs {', '.join(member.gpus)}, of which TensorFlow finds {found}; {chosen}"


class Training:
    """One worker's way through the epochs. `state` is what a checkpoint holds beside arrays; `best` only the chief has."""

    def __init__(self, plan: Plan, member: Member, engine: Engine, report: Callable[[dict], None]):
        self.plan, self.member, self.engine = plan, member, engine
        self.writer = RunWriter(plan.run_folder, member.attempt)
        self.best: list[np.ndarray] = []
        self.state = dict(BEGINNING)
        self._report, self._reported = report, 0.0

    def run(self) -> dict:
        self.restore()
        devices = describe_devices(self.member, self.plan.collectives)
        self.report("ready", epoch=self.state["epoch"], step=self.state["step"], devices=devices)
        while not self.finished():
            line = self.train_epoch()
            if self.member.is_chief:
                self.keep(line)
            self.save_checkpoint(line["epoch"], self.plan.steps)
            self.report("epoch", **line)
        if self.member.is_chief:
            self.save_model()
        self.wait_for_all()  # nobody leaves before the chief has saved
        best = best_line(self.state["history"], self.plan.monitor)
        summary = {key: best[key] for key in ("loss", "val_loss", "val_accuracy", *BLEU) if key in best}
        diagnosis = asdict(diagnose(self.state["history"]))
        return {"epochs": len(self.state["history"]), "best_epoch": best["epoch"], **summary, "diagnosis": diagnosis}

    def finished(self) -> bool:
        plan, history = self.plan, self.state["history"]
        return self.state["epoch"] > plan.epochs or out_of_patience(history, plan.monitor, plan.patience)

    def restore(self) -> None:
        """Goes on from the newest checkpoint, which the chief reads and shares."""
        plan, member, name = self.plan, self.member, ""
        if member.is_chief and (found := checkpoint.latest(plan.run_folder, self.with_own_state())):
            self.engine.restore(found.variables)
            self.best, self.state, name = found.best, found.state, found.name
        self.engine.synchronise(member.is_chief)
        shared = self._shared({"state": self.state, "checkpoint": name})
        self.state = shared["state"]
        if shared["checkpoint"] and member.rank in self.with_own_state():
            self.engine.restore_own(checkpoint.own(plan.run_folder, shared["checkpoint"], member.rank))

    def with_own_state(self) -> range:
        """The ranks that have something which the chief's checkpoint does not hold."""
        return range(
            self.member.workers
            if (self.plan.average_every or self.plan.gradient_rank) and self.member.workers > 1
            else 0
        )

    def wait_for_all(self) -> None:
        self.engine.exchange.total([np.ones(1)])

    def train_epoch(self) -> dict:
        """The rest of an epoch and its validation; moves the state to the next one. Returns the line of metrics.jsonl."""
        plan, state = self.plan, self.state
        epoch, first, saved = state["epoch"], state["step"], state["step"]
        # What was summed before a restart counts once: all workers' sums are in the chief's.
        sums = np.array(state["sums"]) * (self.member.is_chief or not plan.average_every)
        began, usage, captions = time.monotonic() - state["seconds"], Usage(self.member), 0
        for step, batch in enumerate(self.batches(plan.train, epoch, plan.seed, first), first + 1):
            sums += self.engine.train(batch, (plan.seed, epoch, step, self.member.rank), plan.updates_after(step))
            captions += batch.captions
            if plan.averages_after(step):
                self.engine.average()
            if not math.isfinite(sums[0]):
                raise InputError(
                    f"optimizer.learning_rate: found {plan.learning_rate}, and the loss of epoch {epoch} became {sums[0]} at "
                    f"step {step}; lower it, or set optimizer.clip_norm=1"
                )
            seconds = time.monotonic() - began
            self.moved("step", epoch, step, plan.steps, loss=sums[0] / max(sums[2], 1), seconds=seconds)
            due = plan.checkpoint_every and step // plan.checkpoint_every > saved // plan.checkpoint_every
            if due and plan.agrees_after(step) and step < plan.steps:
                saved = step
                self.state = {**state, "step": step, "sums": self.over_all(sums).tolist(), "seconds": seconds}
                self.save_checkpoint(epoch, step)
        seconds, sums = time.monotonic() - began, self.over_all(sums)
        with self.engine.averaged():
            validation = self.validate(epoch)
        rows = self.engine.exchange.by_rank(
            np.array([captions, *usage.row(), self.engine.checksum()]), self.member.rank
        )
        require_equal(rows[:, -1], epoch)
        with self.engine.averaged():
            scores = self.score(epoch)
        line = {
            **epoch_metrics(plan, epoch, sums, validation, seconds),
            **scores,
            "learning_rate": self.engine.learning_rate,
            "workers": [self._worker_line(rank, row) for rank, row in enumerate(rows)],
        }
        self.state = {**BEGINNING, "epoch": epoch + 1, "history": [*state["history"], line]}
        return line

    def validate(self, epoch: int) -> np.ndarray:
        """The global (summed loss, correct words, words) on the validation split."""
        sums, steps = np.zeros(3), self.plan.validation.steps(self.plan.batch_size)
        for step, batch in enumerate(self.batches(self.plan.validation, epoch, None), 1):
            sums += self.engine.validate(batch)
            self.moved("validation", epoch, step, steps)
        return self.engine.exchange.total([sums])[0]

    def score(self, epoch: int) -> dict[str, float]:
        """BLEU-1..4 of captions of the validation photos, each worker decoding its own, where that is wanted."""
        if not self.plan.validation_bleu:
            return {}
        self.moved("validation", epoch, 0, 0)
        counts = count_ngrams(self.decoder, self.plan.validation, self.member.rank, self.member.workers)
        (total,) = self.engine.exchange.total([counts])
        return bleu_scores(BleuCounts.from_row(total))

    @cached_property
    def decoder(self) -> Decoder:
        """Reads the captioner's weights when it is called."""
        plan = self.plan
        return Decoder(self.engine.captioner, plan.validation.width - 1, Search(plan.validation_beam_width))

    def over_all(self, sums: np.ndarray) -> np.ndarray:
        """The epoch's sums over all workers."""
        return self.engine.exchange.total([sums])[0] if self.plan.average_every else sums

    def batches(self, split: Split, epoch: int, seed: int | None, start: int = 0):
        plan, member = self.plan, self.member
        return worker_batches(
            split, plan.batch_size, plan.shape.feature_size, member.rank, member.workers, epoch, seed, start,
            plan.length_window,
        )  # fmt: skip

    def keep(self, line: dict) -> None:
        """The chief's writing at an epoch's end."""
        history = self.state["history"]
        if best_line(history, self.plan.monitor) is line:
            with self.engine.averaged():
                self.best = self.engine.weights()
        self.writer.write_text("metrics.jsonl", "".join(json.dumps(past) + "\n" for past in history))
        self.writer.write_bytes(f"tensorboard/events.out.tfevents.{line['epoch']:010d}.captioner", event_file(line))

    def save_checkpoint(self, epoch: int, step: int) -> None:
        """Every worker calls it, at a step after which all have the same weights; the chief writes them."""
        number = (epoch - 1) * self.plan.steps + step
        if self.member.rank in self.with_own_state():
            checkpoint.save_own(self.writer, number, self.member.rank, self.engine.own_state())
            self.wait_for_all()
        if self.member.is_chief:
            found = Checkpoint(self.engine.snapshot(), self.best, self.state)
            checkpoint.save(self.writer, number, found, self.plan.keep_checkpoints)

    def save_model(self) -> None:
        """Writes the best epoch's model as model.keras, in 32 bits whatever it was trained in."""
        set_number_format("float32")
        captioner = build_captioner(self.plan.shape)
        for variable, array in zip(captioner.trainable_variables, self.best, strict=True):
            variable.assign(array.astype("float32"))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.keras")
            captioner.save(path)
            with open(path, "rb") as stream:
                self.writer.write_bytes("model.keras", stream.read())

    def moved(self, kind: str, epoch: int, step: int, steps: int, **values) -> None:
        """Reports a step of training or validation, at most every REPORT_SECONDS but for the last."""
        if time.monotonic() - self._reported > REPORT_SECONDS or step == steps:
            self._reported = time.monotonic()
            self.report(kind, epoch=epoch, step=step, steps=steps, **values)

    def report(self, kind: str, **values) -> None:
        self._report({"kind": kind, "rank": self.member.rank, **values})

    def _shared(self, state: dict) -> dict:
        """The chief's JSON state on every worker, as a sum of bytes to which the others add nothing."""
        text = json.dumps(state).encode() if self.member.is_chief else b""
        (length,) = self.engine.exchange.total([np.array([len(text)], "int64")])
        room = np.zeros(int(length[0]), "int32")
        room[: len(text)] = np.frombuffer(text, "uint8")
        (shared,) = self.engine.exchange.total([room])
        return json.loads(shared.astype("uint8").tobytes())

    def _worker_line(self, rank: int, row: np.ndarray) -> dict:
        used = {name: round(float(value), 3) for name, value in zip(Usage.FIELDS, row[1:-1], strict=True)}
        return {"rank": rank, "address": self.member.addresses[rank], "captions": int(row[0]), **used}


def require_equal(checksums: np.ndarray, epoch: int) -> None:
    """Raises RuntimeError where the workers do not have the same weights, to the last bit."""
    if len(set(checksums)) > 1:
        raise RuntimeError(f"the workers' weights differ after epoch {epoch}: checksums {checksums.tolist()}")


def epoch_metrics(plan: Plan, epoch: int, sums: np.ndarray, validation: np.ndarray, seconds: float) -> dict:
    """Mean losses in nats a word, accuracy of the next word, and the speed of training."""
    captions = sum(plan.train.captions(lane) for lane in range(len(plan.train.lanes)))
    return {
        "epoch": epoch,
        "loss": float(sums[0] / sums[2]),
        "accuracy": float(sums[1] / sums[2]),
        "val_loss": float(validation[0] / validation[2]),
        "val_accuracy": float(validation[1] / validation[2]),
        "words": int(sums[2]),
        "seconds": round(seconds, 3),
        "captions_per_second": round(captions / seconds, 1),
        "words_per_second": round(float(sums[2]) / seconds, 1),
    }
