"""Compares two runs on the same photos: BLEU-1..4 and guard figures with bootstrap intervals, and those of the difference.

    spark-submit jobs/compare.py runs=A,B

Both runs need captions of the split in the table `predictions` (jobs/evaluate.py), decoded alike.
"""

from __future__ import annotations

from jobs.driver.job import Job, Outcome, run_job
from jobs.driver.runs.champion import named_run, require_trained
from jobs.driver.runs.registry import read_json, run_folder
from jobs.driver.scoring.comparison import FIGURES, Comparison, compare_runs, describe
from udfs.errors import InputError


def main(job: Job) -> Outcome:
    settings, split = job.settings.bootstrap, job.settings.evaluate.split
    runs = named_runs(job)
    require_alike(job, runs, split)
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
    runs = [named_run(job, name) for name in names]
    if len(runs) != 2 or len(set(runs)) != 2:
        raise InputError(
            f"compare.runs: found {', '.join(runs)}, expected two different runs; give runs=A,B, the one to beat first"
        )
    for run in runs:
        require_trained(job.settings, run)
    return runs


def require_alike(job: Job, runs: list[str], split: str) -> None:
    """Raises InputError where the runs' captions of the split come from different searches, or not from jobs/evaluate.py."""
    lines = {run: read_json(f"{run_folder(job.settings, run)}/evaluate-{split}.json") or {} for run in runs}
    found = {run: line.get("made_from", {}).get("decoding") for run, line in lines.items()}
    first, second = found.values()
    if first != second:
        kinds = " and ".join(f"{run} with {describe_search(search)}" for run, search in found.items())
        raise InputError(
            f"compare.runs: found captions of {kinds}, expected one way for both; run jobs/evaluate.py run.id=ID with the "
            "same evaluate.* settings for each"
        )


def describe_search(search: dict | None) -> str:
    return " ".join(f"evaluate.{key}={value}" for key, value in search.items()) if search else "no known settings"


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
