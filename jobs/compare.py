"""Compares two runs on the same photos: all scores with bootstrap intervals, and the differences with theirs.

    spark-submit jobs/compare.py                  # the latest run with the champion
    spark-submit jobs/compare.py runs=A,B

Both runs need captions of the split in the table `predictions` (jobs/evaluate.py), generated with the same settings.

Keys:
    compare.runs: the two runs, the baseline first, separated by a comma: ids, champion or latest.
    evaluate.split: the split.
    bootstrap.resamples, bootstrap.confidence, bootstrap.seed: the confidence intervals.
"""

from __future__ import annotations

from jobs.driver.command import Outcome, run_job
from jobs.driver.job import Job
from jobs.driver.runs.registry import read_json
from jobs.driver.runs.trained_run import TrainedRun, named_run
from jobs.driver.scoring.comparison import compare_runs, comparison_report
from udfs.errors import InputError


def main(job: Job) -> Outcome:
    settings, split = job.settings.bootstrap, job.settings.evaluate.split
    first, second = named_runs(job)
    require_same_decoding([first, second], split)
    predictions = job.warehouse.require("predictions", "evaluate")
    version = predictions.version()
    comparison = compare_runs(predictions.read(version), [first.id, second.id], split, settings)
    metrics = {
        "split": split, "photos": comparison.photos, "left_out": comparison.left_out,
        "confidence": settings.confidence, "resamples": settings.resamples,
        **comparison_report(comparison, first.id, second.id, settings.confidence),
    }  # fmt: skip
    rows = 2 * comparison.photos
    return Outcome(
        table="predictions",
        version=version,
        rows_in=rows,
        unchanged=rows,
        metrics=metrics,
        versions={"predictions": version},
    )


def named_runs(job: Job) -> tuple[TrainedRun, TrainedRun]:
    """The two runs that `compare.runs` names. Raises InputError unless it names two different finished runs."""
    names = [name.strip() for name in job.settings.compare.runs.split(",")]
    runs = [named_run(job, name, "compare.runs") for name in names]
    if len({run.id for run in runs}) != 2 or len(runs) != 2:
        raise InputError(
            f"compare.runs: found {', '.join(run.id for run in runs)}, expected two different runs; give runs=A,B, the "
            "baseline first"
        )
    return runs[0], runs[1]


def require_same_decoding(runs: list[TrainedRun], split: str) -> None:
    """Raises InputError if the runs' captions of the split were generated with different settings, or not by jobs/evaluate.py."""
    evaluations = {run.id: read_json(run.files.evaluation(split)) or {} for run in runs}
    searches = {run: evaluation.get("made_from", {}).get("decoding") for run, evaluation in evaluations.items()}
    first, second = searches.values()
    if first != second:
        settings = " and ".join(f"{run} with {describe_search(search)}" for run, search in searches.items())
        raise InputError(
            f"compare.runs: found captions of {settings}, expected the same settings for both; run "
            "jobs/evaluate.py run.id=ID with the same decoding.* settings for each"
        )


def describe_search(search: dict | None) -> str:
    return " ".join(f"decoding.{key}={value}" for key, value in search.items()) if search else "no known settings"


if __name__ == "__main__":
    run_job(main, __doc__)
