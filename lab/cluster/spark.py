"""Spark's standalone mode in a laboratory: the master on the head, a worker on each node."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from lab.cluster.environment import jvm_options
from lab.cluster.hosts import Hosts
from lab.cluster.settings import Host

SPARK_HOME = Path(find_spec("pyspark").origin).parent  # importing pyspark would take a second
PORT, WEB_PORT = 7077, 8080  # each host has its own network, so that no other program uses these ports
START_SECONDS = 300
LAST_LINES = 20
DAEMONS = ("master", "worker")
ASK_MASTER = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=30).read().decode())"


def url(hosts: Hosts) -> str:
    """The master's URL."""
    return f"spark://{hosts.head.name}:{PORT}"


def start(hosts: Hosts) -> None:
    """Starts the master and the workers, and waits until all workers have registered.

    Raises:
        RuntimeError: If a daemon ends or does not answer in time; the message has the last lines of its log.
    """
    head = hosts.head
    master = ("master.Master", "--host", head.name, "--port", str(PORT), "--webui-port", str(WEB_PORT))
    daemons = {head.name: _start_daemon(hosts, head, "master", *master)}
    _wait_for_workers(hosts, daemons, 0)  # a worker that finds no master would try again only after ten seconds
    for node in hosts.nodes:
        daemons[node.name] = _start_daemon(hosts, node, "worker", *_worker_command(hosts, node))
    _wait_for_workers(hosts, daemons, len(hosts.nodes))


def _worker_command(hosts: Hosts, node: Host) -> list[str]:
    settings = hosts.settings
    resources = ["--host", node.name, "--cores", str(settings.cores), "--memory", settings.memory]
    places = ["--webui-port", str(WEB_PORT), "--work-dir", str(hosts.folder / node.name / "work")]
    return ["worker.Worker", *resources, *places, url(hosts)]


def _start_daemon(hosts: Hosts, host: Host, name: str, program: str, *arguments: str) -> subprocess.Popen:
    command = (str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{program}", *arguments)
    with _log_file(hosts, host.name).open("w") as log:
        return hosts.start(
            host, *command, name=name, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            cwd=hosts.folder / host.name, start_new_session=True,
        )  # fmt: skip


def _log_file(hosts: Hosts, host: str) -> Path:
    return hosts.folder / host / "daemon.log"


def _wait_for_workers(hosts: Hosts, daemons: dict[str, subprocess.Popen], count: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        alive = alive_workers(hosts)
        if alive is not None and len(alive) >= count:
            return
        dead = [host for host, daemon in daemons.items() if daemon.poll() is not None]
        if dead or time.monotonic() > deadline:
            host = (dead or list(daemons))[0]
            lines = _log_file(hosts, host).read_text(errors="replace").splitlines()[-LAST_LINES:]
            problem = f"Spark's daemon on {host} ended" if dead else f"Spark did not start within {START_SECONDS} s"
            raise RuntimeError(f"{problem}; the last lines on {host}:\n" + "\n".join(lines))
        time.sleep(0.5)


def alive_workers(hosts: Hosts) -> list[str] | None:
    """The hosts whose workers the master reports as alive, in order; None if the master does not answer."""
    page = f"http://{hosts.head.name}:{WEB_PORT}/json/"
    try:
        status = json.loads(hosts.run(hosts.head, sys.executable, "-c", ASK_MASTER, page))
    except RuntimeError:
        return None
    return sorted(worker["host"] for worker in status["workers"] if worker["state"] == "ALIVE")


def submit_command(hosts: Hosts, *arguments: str) -> list[str]:
    """The command `spark-submit ARGUMENTS` for the head. Options among the arguments override the laboratory's."""
    head, settings = hosts.head, hosts.settings
    options = {
        "spark.driver.host": head.name,
        "spark.driver.bindAddress": head.address,
        "spark.driver.defaultJavaOptions": jvm_options(hosts.folder),
        "spark.executor.defaultJavaOptions": jvm_options(hosts.folder),
        "spark.executor.memory": settings.memory,
        "spark.executor.cores": settings.cores,
        "spark.scheduler.minRegisteredResourcesRatio": 1,  # no task runs before all executors have registered
        "spark.ui.enabled": "false",
    }
    flags = [part for name, value in options.items() for part in ("--conf", f"{name}={value}")]
    return [str(Path(sys.executable).parent / "spark-submit"), "--master", url(hosts), *flags, *arguments]
