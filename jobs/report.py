"""Scores, compares and explains a run, and writes its whole page, in one Spark session.

It does the work of evaluate, validate_externally and explain for the same run. Each prints its JSON line; what is done
already is not done again.

Keys:
    run.id: the run; auto or latest: the one that finished training last; champion; or an id.
    All keys of the three jobs; `--help` of each lists them.
"""

from __future__ import annotations

from jobs import evaluate, explain, validate_externally
from jobs.driver.command import Outcome, Work, run_jobs
from jobs.driver.job import Job
from jobs.driver.runs.trained_run import chosen_run


def of_one_run(work: Work) -> Work:
    """The work of a job on the run that `run.id` means now; the jobs after it get that run's id."""

    def main(job: Job) -> Outcome:
        job.settings.run.id = chosen_run(job).id
        return work(job)

    return main


STEPS = {
    "evaluate": of_one_run(evaluate.main),
    "validate_externally": of_one_run(validate_externally.main),
    "explain": of_one_run(explain.main),
}

if __name__ == "__main__":
    run_jobs(STEPS, __doc__)
