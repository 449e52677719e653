"""Training as a barrier stage: what it survives, and what it refuses. Each recovery must end with the bits of a quiet run."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import ROOT, Workspace, spark_submit
from gang import in_folder, stop, worker_processes

import conf
from jobs.driver.gang.launcher import GangFailed, run_gang
from jobs.driver.gang.lease import Lease
from jobs.driver.gang.preflight import require_members
from jobs.driver.runs.training_plan import make_plan, specify_run
from jobs.train import uneven_shards
from udfs.engine import attempts, checkpoint
from udfs.engine.events import Epoch, Event, Placed, Ready, Started, Step
from udfs.errors import InputError
from udfs.run_folder import RunFolder

# 160 captions in batches of two, from shards of 55, 55 and 50; a checkpoint every 15 steps.
EPOCHS, STEPS, EVERY = 12, 83, 15
LONGER = [
    f"train.epochs={EPOCHS}",
    "train.batch_size=2",
    f"recovery.checkpoint_every={EVERY}",
    "recovery.restart_pause=0.1",
]


@pytest.fixture(scope="module")
def quiet(parquet_pipeline) -> Workspace:
    """Twelve epochs, dropout included, trained without any trouble as the run `quiet`."""
    workspace, _ = parquet_pipeline
    workspace.run("train", *LONGER, "run.id=quiet")
    return workspace


def weights(workspace: Workspace, run: str) -> list[np.ndarray]:
    found = checkpoint.latest(RunFolder(str(workspace.folder / "runs" / run)))
    assert found.progress.epoch == EPOCHS + 1
    return found.variables


def assert_same_bits(workspace: Workspace, run: str) -> None:
    for one, other in zip(weights(workspace, "quiet"), weights(workspace, run), strict=True):
        assert one.tobytes() == other.tobytes()


class Saboteur:
    """Watches a gang's events, and does one harm an attempt: takes a port, kills either worker, stops one."""

    def __init__(self, folder: Path):
        self.folder, self.attempt, self.pids, self.ports = folder, 0, {}, []
        self.harmed, self.reached, self.saved, self.ready = set(), {}, {}, {}

    def __call__(self, event: Event) -> None:
        rank = event.rank
        if isinstance(event, Placed) and rank == 1:
            self.attempt += 1
            if self.attempt == 1:
                self.take_port(event.address)
        elif isinstance(event, Started):
            self.pids[rank] = event.pid
        elif isinstance(event, Ready) and rank == 0:
            self.ready[self.attempt] = place(event)
        elif isinstance(event, Step) and rank == 0:
            self.reached[self.attempt] = place(event)
        elif isinstance(event, Epoch) and rank == 0 and event.metrics.epoch >= 3 * (self.attempt - 1):
            threading.Timer(0.1, self.harm).start()  # in the middle of the next epoch

    def take_port(self, address: str) -> None:
        taken = socket.socket()
        taken.bind(("", int(address.rsplit(":", 1)[1])))
        taken.listen()
        self.ports.append(taken)

    def harm(self) -> None:
        harms = {2: (1, signal.SIGKILL), 3: (0, signal.SIGKILL), 4: (1, signal.SIGSTOP)}
        if self.attempt in harms and self.attempt not in self.harmed:
            self.harmed.add(self.attempt)
            self.saved[self.attempt] = max(int(path.stem[-9:]) for path in (self.folder / "checkpoints").glob("*.npz"))
            rank, what = harms[self.attempt]
            os.kill(self.pids[rank], what)


def place(event: Ready | Step) -> int:
    """Steps since the beginning of training."""
    return (event.epoch - 1) * STEPS + event.step


def restarts(caplog) -> list[str]:
    """The launcher's messages about failed attempts."""
    return [message for message in caplog.messages if message.startswith("attempt ") and " failed: " in message]


def test_one_job_survives_a_taken_port_killed_workers_and_a_stopped_one(quiet, caplog):
    job = quiet.job("train", *LONGER, "recovery.max_restarts=4", "recovery.stall_timeout=8")
    plan = in_folder(make_plan(job, specify_run(job)), quiet.folder / "runs" / "troubled")
    assert plan.steps == STEPS
    saboteur = Saboteur(quiet.folder / "runs" / "troubled")
    with Lease(RunFolder(plan.run_folder), 60, False) as lease:
        results = run_gang(job.spark, plan, job.settings, lease, saboteur)
    said = restarts(caplog)
    assert [result["epochs"] for result in results] == [EPOCHS, EPOCHS]
    assert_same_bits(quiet, "troubled")
    assert [line.split(" failed: ")[0] for line in said] == [f"attempt {n}" for n in (1, 2, 3, 4)]
    assert "worker 1" in said[0]
    assert re.search(r"worker 1 on .* was killed by SIGKILL", said[1])
    assert re.search(r"worker 0 on .* was killed by SIGKILL", said[2])
    assert re.search(r"worker 1 on .*stopped", said[3])
    for attempt in (2, 3, 4):
        began = saboteur.ready[attempt + 1]
        assert began % STEPS % EVERY == 0, "at a checkpoint"
        assert began >= saboteur.saved[attempt], "at the last one"
        assert saboteur.reached[attempt] - began <= EVERY
    lines = (quiet.folder / "runs" / "troubled" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, EPOCHS + 1))


def test_a_gang_that_fails_again_and_again_ends_with_the_last_lines_of_the_culprit(quiet, caplog):
    job = quiet.job("train", *LONGER, "recovery.max_restarts=1")
    plan = in_folder(make_plan(job, specify_run(job)), quiet.folder / "runs" / "broken", name="none such")
    with Lease(RunFolder(plan.run_folder), 60, False) as lease, pytest.raises(GangFailed) as caught:
        run_gang(job.spark, plan, job.settings, lease, lambda event: None)
    assert len(restarts(caplog)) == 1
    assert "ended with exit code 1; its last lines:" in str(caught.value)
    assert "KeyError: 'none such'" in str(caught.value)


def test_an_executor_is_killed_and_gpus_are_those_that_spark_assigned(quiet, tmp_path):
    """On two executor processes, each with a GPU that a script claims to have found."""
    script = tmp_path / "gpus.sh"
    script.write_text("""#!/bin/sh\necho '{"name": "gpu", "addresses": ["7"]}'\n""")
    script.chmod(0o755)
    gpu = ["--conf", "spark.task.resource.gpu.amount=1"]
    for place in ("worker", "executor"):
        gpu += ["--conf", f"spark.{place}.resource.gpu.amount=1"]
        gpu += ["--conf", f"spark.{place}.resource.gpu.discoveryScript={script}"]
    process = start_train(quiet, "run.id=executors", flags=("--master", "local-cluster[2,1,1024]", *gpu))
    errors, killed = [], False
    for line in process.stderr:
        errors.append(line)
        if line.startswith("train: epoch 2/") and not killed:
            executors = [p for p in psutil.Process(process.pid).children(recursive=True) if is_executor(p)]
            assert len(executors) == 2
            executors[0].kill()
            killed = True
    assert process.wait() == 0, "".join(errors)
    text = "".join(errors)
    assert re.search(r"attempt 1 failed: worker \d on .* (was lost with its executor|was killed)", text), text
    assert text.count("GPUs 7, of which TensorFlow finds 0; ring") == 4, "two workers, twice"
    assert len([line for line in errors if line.startswith("train: epoch ")]) == EPOCHS, "no epoch was trained twice"
    assert_same_bits(quiet, "executors")


def start_train(workspace: Workspace, *overrides: str, flags: tuple[str, ...] = ()) -> subprocess.Popen:
    quick = [
        "--driver-java-options=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "--conf",
        "spark.executor.extraJavaOptions=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    ]
    command = [str(Path(sys.executable).parent / "spark-submit"), *quick, *flags, str(ROOT / "jobs" / "train.py")]
    return subprocess.Popen(
        [*command, *workspace.arguments(), *LONGER, *overrides],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def is_executor(process: psutil.Process) -> bool:
    try:
        return any("CoarseGrainedExecutorBackend" in word for word in process.cmdline())
    except psutil.Error:
        return False


def test_training_goes_on_after_its_driver_was_killed(quiet):
    """The workers leave with the driver, though stopped; the same command resumes. Meanwhile a second driver is refused."""
    process = start_train(quiet, "run.id=killed")
    for line in process.stderr:
        if line.startswith("train: epoch 3/"):
            break
    workers = worker_processes(process.pid)
    for worker in workers:  # or training would be over before the second driver is refused
        stop(worker)
    os.killpg(process.pid, signal.SIGSTOP)
    with pytest.raises(InputError, match=r"run\.id: .*killed is held by attempt 1 of process \d+ on .*take_over"):
        quiet.run("train", *LONGER, "run.id=killed")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(workers) == 2
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE]

    folder = quiet.folder / "runs" / "killed"
    before = (folder / "metrics.jsonl").read_text()
    assert 3 <= len(before.splitlines()) < EPOCHS
    quiet.run("train", *LONGER, "run.id=killed")
    assert (folder / "metrics.jsonl").read_text().startswith(before), "finished epochs are not trained again"
    assert_same_bits(quiet, "killed")


def test_a_run_is_not_resumed_on_another_version_of_its_examples(quiet, tmp_path):
    shutil.copytree(quiet.folder, tmp_path / "copy", symlinks=True)
    copy = Workspace(tmp_path / "copy", quiet.overrides)
    version = copy.run("build_examples", "examples.rows_per_file=5").version
    with pytest.raises(
        InputError, match=rf"quiet was created with different settings: tables\.examples was 1 and is {version};"
    ):
        copy.run("train", *LONGER, "run.id=quiet")


def test_metrics_reach_tensorboard_and_mlflow_too(quiet, monkeypatch):
    from mlflow.tracking import MlflowClient
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (quiet.folder / "mlflow").as_uri()
    run = quiet.run("train", "run.id=tracked", "train.epochs=2", f"tracking.mlflow={uri}").run
    folder = quiet.folder / "runs" / run
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    client = MlflowClient(tracking_uri=uri)
    (found,) = client.search_runs([client.get_experiment_by_name("captioner").experiment_id])
    assert found.info.run_name == "tracked"
    assert found.data.params["train.epochs"] == "2"
    for name in ("loss", "val_loss", "accuracy", "val_accuracy", "bleu4", "learning_rate", "captions_per_second"):
        history = client.get_metric_history(found.info.run_id, name)
        assert [metric.value for metric in history] == [line[name] for line in lines], name
    for worker in lines[0]["workers"]:
        assert worker["cpu_cores"] > 0
        assert worker["memory_mb"] > 100
        assert worker["sent_mb"] > 0
        assert worker["received_mb"] > 0
    events = [
        event for path in sorted((folder / "tensorboard").iterdir()) for event in EventFileLoader(str(path)).Load()
    ]
    tags = [{value.tag: value for value in event.summary.value} for event in events if event.summary.value]
    assert [event.step for event in events if event.summary.value] == [1, 2]
    assert set(tags[0]) == {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "words", "seconds",
                            "captions_per_second", "words_per_second", "length_ratio", "bleu1", "bleu2", "bleu3", "bleu4"} | {
        f"worker_{rank}/{name}" for rank in (0, 1)
        for name in ("captions", "cpu_cores", "memory_mb", "sent_mb", "received_mb")
    }  # fmt: skip


def test_a_gang_that_does_not_assemble_in_time_is_ended(quiet):
    job = quiet.job("train", *LONGER, "recovery.max_restarts=0", "recovery.start_timeout=1")
    plan = in_folder(make_plan(job, specify_run(job)), quiet.folder / "runs" / "slow")
    began = time.monotonic()
    message = r"recovery\.start_timeout: 0 of 2"
    with Lease(RunFolder(plan.run_folder), 60, False) as lease, pytest.raises(GangFailed, match=message):
        run_gang(job.spark, plan, job.settings, lease, lambda event: None)
    assert time.monotonic() - began < 30
    # A member checks once a second whether the driver has closed the connection.
    while worker_processes(os.getpid()):
        assert time.monotonic() - began < 60, "a worker of the ended gang lives on"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("attempt", "needed", "words"),
    [
        (7, 1, r"paths\.runs: a task on .* cannot use"),
        (1, 2**60, r"spark\.executor\.memoryOverhead: "),
    ],
)
def test_a_gang_without_files_or_memory_is_refused(quiet, tmp_path, attempt, needed, words):
    folder = RunFolder(f"file://{tmp_path}")
    attempts.begin(folder, 0, {})
    with pytest.raises(InputError, match=words):
        require_members(quiet.job("train").spark, 2, folder, attempt, needed)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["spark.dynamicAllocation.enabled"], "spark.dynamicAllocation.enabled: found true"),
        (["spark.authenticate", "spark.network.crypto.enabled"], "set recovery.allow_plain_grpc=true"),
    ],
)
def test_a_spark_that_cannot_run_a_gang_is_refused(quiet, keys, words):
    flags = [word for key in keys for word in ("--conf", f"{key}=true")]
    done = spark_submit("train", *quiet.arguments(), "run.id=refused", flags=tuple(flags))
    assert done.code == 2
    assert words in done.stderr.splitlines()[-1]
    assert not (quiet.folder / "runs" / "refused").exists()


@pytest.mark.parametrize("other", ["communication.powersgd_rank=4", "optimizer.ema_decay=0.9"])
def test_what_workers_that_train_alone_cannot_share_is_refused(other):
    key = other.partition("=")[0]
    with pytest.raises(InputError, match=f"{key}: .*communication.local_sgd_steps.* to 0"):
        conf.load(None, [other, "communication.local_sgd_steps=5"])
    conf.load(None, [other])


def test_tied_embeddings_have_no_bias_to_begin_with():
    with pytest.raises(InputError, match=r"model.initial_bias: .*set it to zeros"):
        conf.load(None, ["model.initial_bias=frequencies", "model.tie_embeddings=true"])


def test_shards_that_workers_cannot_share_evenly_are_told():
    assert uneven_shards(16, 4) is None
    assert "16 shards for 3 workers, some workers read 6" in uneven_shards(16, 3)
    assert "12% longer than with 18 shards" in uneven_shards(16, 3)
