"""Spark's standalone mode inside a laboratory: the master on the head, a worker on each node."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lab.cluster.settings import Node

if TYPE_CHECKING:
    from lab.cluster.laboratory import Laboratory

SPARK_HOME = Path(find_spec("pyspark").origin).parent  # importing it would take a second
PORT, WEB_PORT = 7077, 8080  # in a network of its own every port is free
START_SECONDS = 300
LAST_LINES = 20
# Quick to start and small, and no files of the JVM's own in /tmp.
JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"
DAEMONS = ("master", "worker")
ASK_MASTER = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=30).read().decode())"


def url(laboratory: Laboratory) -> str:
    return f"spark://{laboratory.head.name}:{PORT}"


def environment(laboratory: Laboratory, host: Node) -> dict[str, str]:
    """What makes Spark's processes use the host's own name and address, and keep their files in its folder."""
    return {
        "SPARK_LOCAL_IP": host.address,
        "SPARK_LOCAL_HOSTNAME": host.name,
        "SPARK_LOCAL_DIRS": str(laboratory.folder / host.name / "local"),
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": f"{_jvm_options(laboratory)} -Dspark.master.rest.enabled=false",
    }


def _jvm_options(laboratory: Laboratory) -> str:
    return f"{JVM} -Djava.io.tmpdir={laboratory.folder / 'tmp'}"


def start(laboratory: Laboratory) -> None:
    """Starts master and workers and waits until all have registered. Raises RuntimeError with a daemon's last lines."""
    settings, head = laboratory.settings, laboratory.head
    master = ("master.Master", "--host", head.name, "--port", str(PORT), "--webui-port", str(WEB_PORT))
    daemons = {head.name: _daemon(laboratory, head, "master", *master)}
    _wait(laboratory, daemons, 0)  # a worker that came earlier would try again only after ten seconds
    for node in laboratory.nodes:
        own = ("--host", node.name, "--cores", str(settings.cores), "--memory", settings.memory)
        places = ("--webui-port", str(WEB_PORT), "--work-dir", str(laboratory.folder / node.name / "work"))
        daemons[node.name] = _daemon(laboratory, node, "worker", "worker.Worker", *own, *places, url(laboratory))
    _wait(laboratory, daemons, len(laboratory.nodes))


def _daemon(laboratory: Laboratory, host: Node, kind: str, name: str, *arguments: str) -> subprocess.Popen:
    command = (str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *arguments)
    with _log(laboratory, host.name).open("w") as log:
        return laboratory.start(
            host, *command, kind=kind, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            cwd=laboratory.folder / host.name, start_new_session=True,
        )  # fmt: skip


def _log(laboratory: Laboratory, host: str) -> Path:
    return laboratory.folder / host / "daemon.log"


def _wait(laboratory: Laboratory, daemons: dict[str, subprocess.Popen], workers: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        found = alive_workers(laboratory)
        if found is not None and len(found) >= workers:
            return
        dead = [host for host, daemon in daemons.items() if daemon.poll() is not None]
        if dead or time.monotonic() > deadline:
            host = (dead or list(daemons))[0]
            lines = _log(laboratory, host).read_text(errors="replace").splitlines()[-LAST_LINES:]
            what = f"Spark's daemon on {host} ended" if dead else f"Spark was not there after {START_SECONDS} s"
            raise RuntimeError(f"{what}; the last lines on {host}:\n" + "\n".join(lines))
        time.sleep(0.5)


def alive_workers(laboratory: Laboratory) -> list[str] | None:
    """The hosts whose workers the master counts on, in order; None where it does not answer."""
    page = f"http://{laboratory.head.name}:{WEB_PORT}/json/"
    try:
        found = json.loads(laboratory.run(laboratory.head, sys.executable, "-c", ASK_MASTER, page))
    except RuntimeError:
        return None
    return sorted(worker["host"] for worker in found["workers"] if worker["state"] == "ALIVE")


def submit_command(laboratory: Laboratory, *arguments: str) -> list[str]:
    """`spark-submit ARGUMENTS` for the head; what the arguments set wins."""
    head, settings = laboratory.head, laboratory.settings
    options = {
        "spark.driver.host": head.name,
        "spark.driver.bindAddress": head.address,
        "spark.driver.defaultJavaOptions": _jvm_options(laboratory),
        "spark.executor.defaultJavaOptions": _jvm_options(laboratory),
        "spark.executor.memory": settings.memory,
        "spark.executor.cores": settings.cores,
        "spark.scheduler.minRegisteredResourcesRatio": 1,  # no task runs before all executors are there
        "spark.ui.enabled": "false",
    }
    flags = [part for key, value in options.items() for part in ("--conf", f"{key}={value}")]
    return [str(Path(sys.executable).parent / "spark-submit"), "--master", url(laboratory), *flags, *arguments]
