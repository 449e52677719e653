"""Runs jobs as commands: arguments, log messages, exit codes, and one JSON line per job on standard output.

Exit codes: 0 for success, 2 for a configuration or an input that must be changed, 1 for any other failure.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import conf
from conf.keys import describe
from jobs.driver.environment.check import require_no_errors
from jobs.driver.environment.process_checks import process_checks
from jobs.driver.environment.python_versions import explained
from jobs.driver.job import Job
from jobs.driver.runs.registry import NAMES, require_run_id
from jobs.driver.runs.snapshot import keep_line
from jobs.driver.spark.console import log_to_stderr, use_real_stderr
from udfs.errors import InputError, message_line

TASK_ERROR = re.compile(r"^udfs\.errors\.InputError: (.+)$", re.MULTILINE)


@dataclass(kw_only=True)
class Outcome:
    """What a job did. Every input row is written, unchanged or quarantined.

    Attributes:
        table: The table that the job wrote or would have written.
        run: The id of the run that the job worked for.
        version: The table's version.
        rows_in: Number of input rows.
        written: Number of rows that are new.
        unchanged: Number of rows that an earlier run of the job wrote already.
        quarantined: Number of rows that were refused.
        metrics: Further results, as JSON values.
        versions: Versions of the tables that the job read and wrote; later jobs of the same run read these versions.
        problem: Why the command ends with exit code 2 although the job has results; not part of the JSON line.
    """

    table: str | None = None
    run: str | None = None
    version: int | None = None
    rows_in: int = 0
    written: int = 0
    unchanged: int = 0
    quarantined: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    problem: str | None = None

    def check(self) -> None:
        """Raises RuntimeError unless every input row is accounted for."""
        accounted = self.written + self.unchanged + self.quarantined
        if self.rows_in != accounted:
            raise RuntimeError(
                f"{self.rows_in} input rows, but {self.written} written + {self.unchanged} unchanged + "
                f"{self.quarantined} quarantined = {accounted}; did the input change while the job ran?"
            )


Work = Callable[[Job], Outcome]


def run_job(work: Work, description: str, is_checked: bool = True) -> None:
    """Runs one job as a command, named after the script. Ends the process with the exit code if the job fails."""
    run_jobs({Path(sys.argv[0]).stem: work}, description, is_checked)


def run_jobs(steps: Mapping[str, Work], description: str, is_checked: bool = True) -> None:
    """Runs jobs one after the other in one Spark session, each with its JSON line, until one fails.

    Args:
        steps: The jobs' names and what they do.
        description: Text for `--help`.
        is_checked: Whether the environment must be in order before the first job begins. Spark's part of it is checked when
            the session is opened.
    """
    command = Path(sys.argv[0]).stem
    arguments = _arguments(command, description)
    use_real_stderr()
    log_to_stderr()
    job, failure = None, None
    try:
        settings = conf.load(arguments.config, arguments.overrides)
        for name, work in steps.items():
            is_first, job = job is None, Job(name, settings)
            if is_first and is_checked:
                require_no_errors(process_checks(), job.log)
            outcome, line = perform(job, work)
            print(line, flush=True)
            if outcome.problem:
                raise InputError(outcome.problem)
    except Exception as error:
        failure = error
    finally:
        if job is not None:
            job.close()
    if failure is not None:  # logged last, after Spark's own messages
        sys.exit(_log_failure(job.name if job else command, failure))


def perform(job: Job, work: Work) -> tuple[Outcome, str]:
    """Runs a job and writes its JSON line into the folder of its run.

    Returns:
        The outcome and the JSON line.

    Raises:
        InputError: For a configuration or an input that must be changed.
    """
    if job.settings.run.id not in NAMES:
        require_run_id(job.settings.run.id)
    started = time.monotonic()
    outcome = work(job)
    outcome.check()
    if not outcome.written and outcome.unchanged:
        job.log.info("nothing to do; the inputs are the same as in the last run of this job")
    seconds = round(time.monotonic() - started, 2)
    values = {key: value for key, value in asdict(outcome).items() if key != "problem"}
    line = json.dumps({"job": job.name, **values, "seconds": seconds})
    keep_line(job.settings, job.name, outcome.run, line)
    return outcome, line


def _log_failure(name: str, error: Exception) -> int:
    """Logs why a job failed; returns the exit code."""
    log = logging.getLogger(name)
    error = explained(error) or of_task(error) or error
    if isinstance(error, InputError):
        log.error(message_line(error))
        return 2
    log.error("failed", exc_info=error)
    return 1


def of_task(error: BaseException) -> InputError | None:
    """The input error of a Spark task, which Spark reports as the text of a traceback; None for any other error."""
    match = TASK_ERROR.search(str(error))
    return InputError(match[1]) if match else None


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
