"""The contract that every job keeps: arguments, exit codes, and one JSON line at the end of stdout."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from pyspark.sql import SparkSession

import conf
from conf.keys import describe
from jobs.driver.runs.snapshot import keep_line
from jobs.driver.spark.console import use_real_stderr
from jobs.driver.spark.session import open_session
from jobs.driver.tables.warehouse import Warehouse
from udfs.errors import InputError


@dataclass
class Outcome:
    """What a job did. Every input row is written, unchanged or quarantined. `versions` are the tables it read and wrote."""

    table: str | None = None
    run: str | None = None
    version: int | None = None
    rows_in: int = 0
    written: int = 0
    unchanged: int = 0
    quarantined: int = 0
    metrics: dict = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    def check(self) -> None:
        accounted = self.written + self.unchanged + self.quarantined
        if self.rows_in != accounted:
            raise RuntimeError(
                f"{self.rows_in} input rows, but {self.written} written + {self.unchanged} unchanged + "
                f"{self.quarantined} quarantined = {accounted}; did the input change while the job ran?"
            )


@dataclass
class Job:
    """What a job works with: its name, the settings, and the Spark session and tables, opened on first use."""

    name: str
    settings: conf.Settings

    @cached_property
    def spark(self):
        return open_session(self.name, self.settings)

    @cached_property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.spark, self.settings.paths.warehouse, self.settings.storage.format)

    def close(self) -> None:
        session = SparkSession.getActiveSession()
        if session is not None and "DATABRICKS_RUNTIME_VERSION" not in os.environ:
            session.stop()

    @cached_property
    def log(self) -> logging.Logger:
        """The job's logger; its messages go to standard error, from the level `log.level` on."""
        return logging.getLogger(self.name)


def run_job(work: Callable[[Job], Outcome], description: str) -> None:
    """Runs one job as a command and ends the process as the contract says."""
    run_jobs({Path(sys.argv[0]).stem: work}, description)


def run_jobs(steps: dict[str, Callable[[Job], Outcome]], description: str) -> None:
    """Runs jobs one after the other in one Spark session, each with its JSON line; the first that fails is the last."""
    command = Path(sys.argv[0]).stem
    arguments = _arguments(command, description)
    use_real_stderr()
    job, message, code = None, "", 0
    try:
        settings = conf.load(arguments.config, arguments.overrides)
        for name, work in steps.items():
            job = Job(name, settings)
            print(perform(job, work)[1], flush=True)
    except InputError as error:
        message, code = f"{job.name if job else command}: {' '.join(str(error).split())}", 2
    except Exception:
        message, code = traceback.format_exc().rstrip(), 1
    finally:
        if job is not None:
            job.close()
    if code:
        print(message, file=sys.stderr, flush=True)
        sys.exit(code)


def perform(job: Job, work: Callable[[Job], Outcome]) -> tuple[Outcome, str]:
    """Does a job's work; returns its outcome and the JSON line, which is also kept in the folder of the job's run."""
    started = time.monotonic()
    outcome = work(job)
    outcome.check()
    if not outcome.written and outcome.unchanged:
        job.log.info("nothing new; everything is as the last run left it")
    seconds = round(time.monotonic() - started, 2)
    line = json.dumps({"job": job.name, **asdict(outcome), "seconds": seconds})
    keep_line(job.settings, job.name, outcome.run, line)
    return outcome, line


def _arguments(name: str, description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"spark-submit jobs/{name}.py",
        description=description,
        epilog=f"keys, defaults and meanings:\n{describe(conf.Settings)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", help="YAML configuration (default: conf/local.yaml)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that override the file's")
    return parser.parse_intermixed_args()
