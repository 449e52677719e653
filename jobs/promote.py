"""Makes a run the champion by hand, whatever the gate decides. It also goes back to an earlier champion.

    spark-submit jobs/promote.py run=ID

Keys:
    run.id: the run: an id, or latest. There is no default.
"""

from __future__ import annotations

from jobs.driver.command import Outcome, run_job
from jobs.driver.job import Job
from jobs.driver.runs.champion import champion, note_promotion, promote
from jobs.driver.runs.trained_run import named_run
from udfs.errors import InputError


def main(job: Job) -> Outcome:
    name, before = job.settings.run.id, champion(job.settings)
    if name in ("auto", "champion"):
        current = f"the champion is {before.run}" if before else "there is no champion yet"
        raise InputError(f"run.id: found {name}, expected the id of the run to promote ({current}); give run=ID")
    run = named_run(job, name).id
    if before and before.run == run:
        version = note_promotion(job, before)
        metrics = {"champion": run, "number": before.number}
        return Outcome(table="runs", run=run, version=version, rows_in=1, unchanged=1, metrics=metrics)
    reasons = [f"promoted by hand in place of {before.run if before else 'no champion'}"]
    new, version = promote(job, run, before, reasons, {})
    metrics = {"champion": run, "number": new.number, "previous": new.previous}
    return Outcome(table="runs", run=run, version=version, rows_in=1, written=1, metrics=metrics)


if __name__ == "__main__":
    run_job(main, __doc__)
