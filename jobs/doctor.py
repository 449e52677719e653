"""Checks this environment and prints what it found with a verdict for each, for a bug report.

It checks the driver's process, the Spark session, and the hosts on which tasks run: versions, encodings, proxies, Keras's
configuration, free disk for Spark's scratch files, and that a task can import TensorFlow. It changes nothing. The other jobs
make the quick ones of these checks when they begin.

The checks are logged, one line each, and are in the JSON line under `metrics.checks`. The exit code is 2 if one is an error.

Keys:
    storage.format: delta also checks that the session has Delta's jars.
    log.level: warning leaves out what is all right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from pyspark.sql import SparkSession

from conf import Settings
from jobs.driver.command import Outcome, run_job
from jobs.driver.environment.check import LEVELS, Check
from jobs.driver.environment.executor_checks import executor_checks
from jobs.driver.environment.process_checks import process_checks
from jobs.driver.environment.session_checks import session_checks
from jobs.driver.job import Job
from jobs.driver.spark.session import create_session, require_delta
from udfs.errors import InputError, one_line


def main(job: Job) -> Outcome:
    checks: list[Check] = []
    for part in parts(job):
        for check in part():
            checks.append(check)
            job.log.log(LEVELS[check.verdict], "%-8s %s", check.verdict, check)
        if any(check.verdict == "error" for check in checks):  # what comes next would fail for the same reason
            job.log.warning("the checks end here; correct the errors and repeat them")
            break
    counts = {verdict: sum(check.verdict == verdict for check in checks) for verdict in LEVELS}
    problem = f"found {counts['error']} errors; they are logged above" if counts["error"] else None
    return Outcome(metrics={**counts, "checks": [asdict(check) for check in checks]}, problem=problem)


def parts(job: Job) -> list[Callable[[], list[Check]]]:
    """The groups of checks, each of which needs that those before it found no error."""
    return [
        process_checks,
        lambda: [start_check(job)],
        lambda: [*session_checks(create_session(job.name)), delta_check(create_session(job.name), job.settings)],
        lambda: executor_checks(create_session(job.name)),
    ]


def start_check(job: Job) -> Check:
    """Whether Spark starts."""
    try:
        spark = create_session(job.name)
    except Exception as error:  # whatever keeps Spark from starting is a finding
        return Check("Spark's start", "error", one_line(error, 400), "see the message; no job can start Spark")
    return Check("Spark's start", "ok", f"application {spark.sparkContext.applicationId}")


def delta_check(spark: SparkSession, settings: Settings) -> Check:
    """Whether the session can write the tables in the configured format."""
    if settings.storage.format != "delta":
        return Check("storage.format", "ok", settings.storage.format)
    try:
        require_delta(spark)
    except InputError as error:
        key, _, message = str(error).partition(": found ")
        found, _, advice = message.partition("; ")
        return Check(key, "error", found, advice)
    return Check("storage.format", "ok", "delta, with its jars")


if __name__ == "__main__":
    run_job(main, __doc__, is_checked=False)
