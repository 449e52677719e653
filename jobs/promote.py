"""Makes a run the champion by hand, whatever the gate says; so also a rollback: `jobs/promote.py run=ID`."""

from __future__ import annotations

from jobs.driver.job import Job, Outcome, run_job
from jobs.driver.runs.champion import champion, note_promotion, promote, require_trained
from udfs.errors import InputError


def main(job: Job) -> Outcome:
    run, before = job.settings.run.id, champion(job.settings)
    if run in ("auto", "champion"):
        now = f"the champion is {before.run}" if before else "there is no champion yet"
        raise InputError(f"run.id: found {run}, expected the id of the run to promote ({now}); give run=ID")
    require_trained(job.settings, run)
    if before and before.run == run:
        version = note_promotion(job, before)
        return Outcome("runs", run, version, 1, 0, 1, 0, {"champion": run, "number": before.number})
    reasons = [f"promoted by hand in place of {before.run if before else 'no champion'}"]
    new, version = promote(job, run, before, reasons, {})
    return Outcome("runs", run, version, 1, 1, 0, 0, {"champion": run, "number": new.number, "previous": new.previous})


if __name__ == "__main__":
    run_job(main, __doc__)
