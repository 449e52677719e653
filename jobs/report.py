"""Scores, compares and explains a run, and writes the whole page of it, in one Spark session.

The same as evaluate, validate_externally and explain as three commands on the same run, which is the one that was trained last
unless run.id names another. Each prints its JSON line; what is already done is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from jobs import evaluate, explain, validate_externally
from jobs.driver.job import Job, Outcome, run_jobs
from jobs.driver.runs.champion import named_run


def of_one_run(work: Callable[[Job], Outcome]) -> Callable[[Job], Outcome]:
    """The work of a job on the run that run.id means now, and means to the jobs after it."""

    def main(job: Job) -> Outcome:
        job.settings.run.id = named_run(job, job.settings.run.id)
        return work(job)

    return main


STEPS = {
    "evaluate": of_one_run(evaluate.main),
    "validate_externally": of_one_run(validate_externally.main),
    "explain": of_one_run(explain.main),
}

if __name__ == "__main__":
    run_jobs(STEPS, __doc__)
