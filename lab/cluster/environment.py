"""The environment variables of a process on a host."""

from __future__ import annotations

import os
from pathlib import Path

from lab.cluster.settings import Host

# A quick start, little memory, and no files of the JVM in /tmp.
JVM_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"
NOT_INHERITED = ("PYTHON", "PYSPARK", "SPARK")


def host_environment(host: Host, folder: Path) -> dict[str, str]:
    """This process's variables without its Spark and Python settings, and those that place Spark on the host.

    Args:
        host: The host, whose name and address Spark's processes use.
        folder: The laboratory's folder, which takes temporary files.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    return {
        **inherited,
        "SPARK_LOCAL_IP": host.address,
        "SPARK_LOCAL_HOSTNAME": host.name,
        "SPARK_LOCAL_DIRS": str(folder / host.name / "local"),
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": f"{jvm_options(folder)} -Dspark.master.rest.enabled=false",
        "TMPDIR": str(temporary_folder(folder)),
    }


def jvm_options(folder: Path) -> str:
    return f"{JVM_OPTIONS} -Djava.io.tmpdir={temporary_folder(folder)}"


def temporary_folder(folder: Path) -> Path:
    return folder / "tmp"
