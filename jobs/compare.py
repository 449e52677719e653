"""Compares two runs on the same photos: BLEU-1..4 and guard figures with bootstrap intervals, and those of the difference.

    spark-submit jobs/compare.py runs=A,B

Both runs need captions of the split in the table `predictions` (jobs/evaluate.py).
"""

from __future__ import annotations

from jobs.driver.champion import require_champion, require_trained
from jobs.driver.comparison import FIGURES, Comparison, compare_runs, describe
from jobs.driver.job import Job, Outcome, run_job
from jobs.driver.runs import latest_run
from udfs.errors import InputError


def main(job: Job) -> Outcome:
    settings, split = job.settings.compare, job.settings.evaluate.split
    runs = named_runs(job)
    predictions = job.warehouse.require("predictions", "evaluate")
    version = predictions.version()
    comparison = compare_runs(predictions.read(version), runs, split, settings)
    metrics = {
        "split": split, "photos": comparison.photos, "left_out": comparison.left_out,
        "confidence": settings.confidence, "resamples": settings.resamples,
        **report(comparison, runs, settings.confidence),
    }  # fmt: skip
    rows = 2 * comparison.photos
    return Outcome("predictions", None, version, rows, 0, rows, 0, metrics, {"predictions": version})


def named_runs(job: Job) -> list[str]:
    """The two runs that `compare.runs` names. Raises InputError where it does not name two finished ones."""
    names = [name.strip() for name in job.settings.compare.runs.split(",")]
    meanings = {"champion": lambda: require_champion(job.settings).run, "auto": lambda: latest_run(job)}
    runs = [meanings[name]() if name in meanings else name for name in names]
    if len(runs) != 2 or len(set(runs)) != 2:
        raise InputError(
            f"compare.runs: found {', '.join(runs)}, expected two different runs; give runs=A,B, the one to beat first"
        )
    for run in runs:
        require_trained(job.settings, run)
    return runs


def report(comparison: Comparison, runs: list[str], confidence: float) -> dict:
    """Every figure of both runs and of the second less the first, each with its interval."""
    first, second = runs
    differences = {}
    for name in FIGURES:
        values = comparison.difference(name, first, second)
        better = float((values[1:] > 0).mean())
        differences[name] = {**describe(values, confidence), "share_above_0": round(better, 4)}
    return {
        "runs": {run: {name: describe(comparison.figures[run][name], confidence) for name in FIGURES} for run in runs},
        "difference": differences,
    }


if __name__ == "__main__":
    run_job(main, __doc__)
