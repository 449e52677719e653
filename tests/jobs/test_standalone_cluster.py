"""Every job on a standalone cluster whose machines have the dependencies, and the project as a wheel only."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pyspark
import pytest
from conftest import JOBS, QUICK_TRAINING, ROOT, SMALL_NETWORK

pytestmark = pytest.mark.slow

SPARK_CLASS = Path(pyspark.__file__).parent / "bin" / "spark-class"
START_SECONDS = 60
QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


@pytest.fixture(scope="module")
def wheel() -> Path:
    """What `make package` leaves in dist/."""
    make = ["make", "--assume-old=setup", "package", f"VENV={sys.prefix}"]
    subprocess.run(make, cwd=ROOT, check=True)
    [built] = (ROOT / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """An interpreter that finds what is installed beside the project, but not the project.

    The project is installed editable, through a .pth file, and Python does not read the .pth files of a folder that
    another .pth file names.
    """
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


def outside(**extra: str) -> dict[str, str]:
    """The environment of a process that shares nothing with the tests' own Spark and Python."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYSPARK", "SPARK"))}
    return {**kept, "SPARK_LOCAL_IP": "127.0.0.1", **extra}


@contextmanager
def standalone_cluster(folder: Path) -> Iterator[str]:
    """A master and two workers of one core as processes of their own, each in a folder of its own; yields the master's URL."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"spark://127.0.0.1:{port}"
    everywhere = ["--host", "127.0.0.1", "--webui-port", "0"]
    with ExitStack() as processes:
        processes.enter_context(daemon(folder / "master", "master.Master", *everywhere, "--port", str(port)))
        wait_for_port(port)
        for name in ("worker-1", "worker-2"):
            own = ["--work-dir", str(folder / name / "work"), "--cores", "1", "--memory", "2g"]
            processes.enter_context(daemon(folder / name, "worker.Worker", *everywhere, *own, address))
        yield address


@contextmanager
def daemon(folder: Path, name: str, *arguments: str) -> Iterator[None]:
    """A process of Spark's standalone mode; it and its children end with the block."""
    (folder / "local").mkdir(parents=True)
    own = outside(
        SPARK_LOCAL_DIRS=str(folder / "local"),
        SPARK_DAEMON_MEMORY="256m",
        SPARK_DAEMON_JAVA_OPTS=f"{QUICK_JVM} -Dspark.master.rest.enabled=false",
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [str(SPARK_CLASS), f"org.apache.spark.deploy.{name}", *arguments],
            cwd=folder,
            env=own,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for_port(port: int) -> None:
    """Returns when the master listens; a worker that came earlier would try again only after ten seconds."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the master did not start"
            time.sleep(0.1)


def python_stages(event_log: Path) -> list[tuple[str, set[str]]]:
    """The stages that ran the project's code, in order: "arrow" or "barrier", and the executors that finished tasks."""
    stages = {}
    for line in event_log.read_text().splitlines():
        event = json.loads(line)
        if event["Event"] == "SparkListenerStageSubmitted":
            rdds = event["Stage Info"]["RDD Info"]
            if any(rdd["Barrier"] for rdd in rdds):
                stages[event["Stage Info"]["Stage ID"]] = ("barrier", set())
            elif any("MapInArrow" in rdd.get("Scope", "") for rdd in rdds):
                stages[event["Stage Info"]["Stage ID"]] = ("arrow", set())
        elif event["Event"] == "SparkListenerTaskEnd" and event["Stage ID"] in stages:
            stages[event["Stage ID"]][1].add(event["Task Info"]["Executor ID"])
    return [stages[number] for number in sorted(stages)]


def run_alone(python: Path, code: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run([python, "-c", code], cwd=cwd, env=outside(**environment), capture_output=True, text=True)


def test_the_wheel_holds_the_configurations(wheel, python, tmp_path):
    code = "import conf; print(conf.load().extractor.name, conf.load('conf/flickr8k.yaml').extractor.name)"
    done = run_alone(python, code, tmp_path, PYTHONPATH=str(wheel))
    assert done.stdout.split() == ["vgg16", "mobilenet_v2"], done.stderr


def test_every_job_runs_on_a_cluster_that_has_the_wheel_alone(wheel, python, drawn, tmp_path):
    """The driver starts in an empty folder, from a copy of one script; master and workers run in folders of their own."""
    scripts, here, shared, log = (tmp_path / name for name in ("scripts", "here", "shared", "log"))
    for folder in (scripts, here, shared, log):
        folder.mkdir()
    shutil.copy(ROOT / "jobs" / "run_pipeline.py", scripts)
    for package in ("conf", "jobs", "udfs"):
        assert f"No module named '{package}'" in run_alone(python, f"import {package}", here).stderr

    settings = {
        "spark.pyspark.python": python,
        "spark.cores.max": 2,
        "spark.scheduler.minRegisteredResourcesRatio": 1,  # no task runs before both executors are there
        "spark.executor.extraJavaOptions": QUICK_JVM,
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": log.as_uri(),
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",
    }
    with standalone_cluster(tmp_path / "cluster") as master:
        command = [
            Path(sys.executable).parent / "spark-submit",
            *("--master", master, "--py-files", wheel, f"--driver-java-options={QUICK_JVM}"),
            *(part for key, value in settings.items() for part in ("--conf", f"{key}={value}")),
            *(scripts / "run_pipeline.py", "--config", "conf/local.yaml"),
            *(f"corpus.root={drawn}", f"paths.warehouse={shared}/warehouse", f"paths.runs={shared}/runs"),
            *(*SMALL_NETWORK, "extractor.pooling=avg", "examples.shards=2"),
            *(*QUICK_TRAINING, "train.epochs=2", "train.workers=2"),
        ]
        done = subprocess.run(
            list(map(str, command)), cwd=here, env=outside(), capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 0, done.stderr

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["job"] for line in lines] == JOBS
    assert lines[0]["written"] == 40
    assert (shared / "runs" / lines[3]["run"] / "model.keras").exists()
    both, [event_log] = {"0", "1"}, log.iterdir()
    _probe, extraction, *later = python_stages(event_log)
    assert extraction == ("arrow", both)
    assert ("barrier", both) in later
    sent = (tmp_path / "cluster").glob(f"*/work/app-*/*/{wheel.name}")
    assert sorted(path.relative_to(tmp_path / "cluster").parts[0] for path in sent) == ["worker-1", "worker-2"]
    assert list(here.iterdir()) == [], "a job left something in the driver's folder"
