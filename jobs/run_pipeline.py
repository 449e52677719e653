"""Runs the jobs from photos to scores, one after the other in one Spark session.

It does the work of extract_features, tokenize_captions, build_examples, train and evaluate without starting Spark five
times. Each prints its JSON line; what is done already is not done again.

Keys:
    corpus.dry_run: show how the corpus is read, and write nothing.
    run.id: with auto, the fingerprint of settings and tables names the run; with an id, all jobs work for the run of that id.
    All keys of the five jobs; `--help` of each lists them.
"""

from __future__ import annotations

from jobs import build_examples, evaluate, extract_features, tokenize_captions, train
from jobs.driver.command import Outcome, Work, run_jobs
from jobs.driver.job import Job


def train_run(job: Job) -> Outcome:
    """Trains, and makes the trained run the one that is evaluated, even if another one finished training later."""
    outcome = train.main(job)
    job.settings.run.id = outcome.run
    return outcome


def unless_dry_run(work: Work) -> Work:
    """The same work, which does nothing if the corpus shall only be shown."""
    return lambda job: Outcome() if job.settings.corpus.dry_run else work(job)


STEPS = {
    "extract_features": extract_features.main,
    "tokenize_captions": tokenize_captions.main,
    "build_examples": unless_dry_run(build_examples.main),
    "train": unless_dry_run(train_run),
    "evaluate": unless_dry_run(evaluate.main),
}

if __name__ == "__main__":
    run_jobs(STEPS, __doc__)
