"""The training loop of one worker, from the first batch to the saved model."""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from collections.abc import Callable

import numpy as np

from udfs import checkpoint, files
from udfs.devices import use_task_devices
from udfs.plan import Member, Plan
from udfs.reader import worker_batches
from udfs.training_step import Engine

REPORT_SECONDS = 0.5


def train(plan: Plan, member: Member, report: Callable[[dict], None]) -> dict:
    """Trains the captioner together with the other members; every one returns the same summary.

    Starts at the newest checkpoint of the run folder. The chief writes checkpoints, metrics.jsonl and model.keras, which
    holds the weights of the epoch with the lowest validation loss. `report` receives steps and epochs as they pass.
    """
    engine = start_engine(plan, member)
    state = restore_or_start(plan, member, engine)
    for epoch in range(state["epoch"], plan.epochs + 1):
        started = time.monotonic()
        sums = train_epoch(plan, member, engine, epoch, report)
        seconds = time.monotonic() - started
        line = epoch_metrics(plan, epoch, sums, validate(plan, member, engine, epoch), seconds)
        state = {"epoch": epoch + 1, "history": [*state["history"], line]}
        if member.is_chief:
            keep_if_best(plan, engine, state["history"])
            files.write_text(
                f"{plan.run_folder}/metrics.jsonl", "".join(json.dumps(past) + "\n" for past in state["history"])
            )
            checkpoint.save(
                checkpoints(plan),
                epoch * plan.train.steps(plan.batch_size),
                engine.snapshot(),
                state,
                plan.keep_checkpoints,
            )
        report({"kind": "epoch", "rank": member.rank, **line})
    best = min(state["history"], key=lambda line: line["val_loss"])
    if member.is_chief:
        save_model(plan, engine)
    engine.total([np.ones(1)])  # nobody leaves before the chief has saved
    return {
        "epochs": len(state["history"]),
        "best_epoch": best["epoch"],
        **{key: best[key] for key in ("loss", "val_loss", "val_accuracy")},
    }


def start_engine(plan: Plan, member: Member) -> Engine:
    """Joins the gang: TensorFlow's collectives start here and wait for every member."""
    cluster = {"cluster": {"worker": member.addresses}, "task": {"type": "worker", "index": member.rank}}
    os.environ["TF_CONFIG"] = json.dumps(cluster)
    use_task_devices(member.cores, member.gpus)
    import tensorflow as tf

    communication = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=communication.NCCL if member.gpus else communication.RING
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    return Engine(strategy, plan.shape, plan.optimizer, plan.learning_rate, plan.clip_norm, plan.seed)


def restore_or_start(plan: Plan, member: Member, engine: Engine) -> dict:
    """The state to go on from, equal on every worker: the chief reads the newest checkpoint and shares it."""
    found = checkpoint.latest(checkpoints(plan)) if member.is_chief else None
    state = {"epoch": 1, "history": []}
    if found:
        arrays, state = found
        engine.restore(arrays)
    engine.synchronise(member.is_chief)
    return share_state(state, member, engine)


def share_state(state: dict, member: Member, engine: Engine) -> dict:
    """The chief's JSON state on every worker, as a sum of bytes to which the others add nothing."""
    text = json.dumps(state).encode() if member.is_chief else b""
    (length,) = engine.total([np.array([len(text)], "int64")])
    room = np.zeros(int(length[0]), "int32")
    room[: len(text)] = np.frombuffer(text, "uint8")
    (shared,) = engine.total([room])
    return json.loads(shared.astype("uint8").tobytes())


def train_epoch(plan: Plan, member: Member, engine: Engine, epoch: int, report) -> np.ndarray:
    """One pass over the training captions; the global (summed loss, correct words, words)."""
    sums, steps, reported = np.zeros(3), plan.train.steps(plan.batch_size), 0.0
    batches = worker_batches(
        plan.train, plan.batch_size, plan.shape.feature_size, member.rank, member.workers, epoch, plan.seed
    )
    for step, batch in enumerate(batches):
        sums += engine.train(batch, (plan.seed, epoch, step, member.rank))
        if not math.isfinite(sums[0]):
            raise FloatingPointError(f"the loss of epoch {epoch}, step {step} is {sums[0]}; lower train.learning_rate")
        if time.monotonic() - reported > REPORT_SECONDS or step == steps - 1:
            reported = time.monotonic()
            report(
                {
                    "kind": "step",
                    "rank": member.rank,
                    "epoch": epoch,
                    "step": step + 1,
                    "steps": steps,
                    "loss": sums[0] / sums[2],
                }
            )
    return sums


def validate(plan: Plan, member: Member, engine: Engine, epoch: int) -> np.ndarray:
    """The global (summed loss, correct words, words) on the validation split."""
    batches = worker_batches(
        plan.validation, plan.batch_size, plan.shape.feature_size, member.rank, member.workers, epoch, seed=None
    )
    sums = sum((engine.validate(batch.tokens, batch.photo).numpy() for batch in batches), np.zeros(3, "float32"))
    return engine.total([sums.astype("float64")])[0]


def epoch_metrics(plan: Plan, epoch: int, sums: np.ndarray, validation: np.ndarray, seconds: float) -> dict:
    """The line of metrics.jsonl: mean losses in nats a word, accuracy of the next word, and the speed of training."""
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


def keep_if_best(plan: Plan, engine: Engine, history: list[dict]) -> None:
    """Stores the weights when the last epoch has the lowest validation loss so far."""
    if history[-1]["val_loss"] <= min(line["val_loss"] for line in history):
        weights = [np.array(variable) for variable in engine.captioner.trainable_variables]
        files.write_bytes(f"{checkpoints(plan)}/best.npz", checkpoint.pack(weights, history[-1]))


def save_model(plan: Plan, engine: Engine) -> None:
    """Writes the best epoch's model as model.keras."""
    weights, _ = checkpoint.unpack(files.read_bytes(f"{checkpoints(plan)}/best.npz"))
    for variable, array in zip(engine.captioner.trainable_variables, weights, strict=True):
        variable.assign(array)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        engine.captioner.save(path)
        with open(path, "rb") as stream:
            files.write_bytes(f"{plan.run_folder}/model.keras", stream.read())


def checkpoints(plan: Plan) -> str:
    return f"{plan.run_folder}/checkpoints"
