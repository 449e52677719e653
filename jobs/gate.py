"""Promotes a run, or keeps the champion, and writes the decision with its reasons to the table `runs`.

A run is promoted if its BLEU-4 exceeds the champion's by `gate.margin` in the share `gate.confidence` of the bootstrap samples,
neither BLEU-1 nor the gain over shuffled photos falls by more than `gate.tolerance`, and its distinct captions are at least the
share `gate.min_variety` of the champion's. A rise of BLEU-4 with a fall of CIDEr-D is a warning, not a refusal. Without a
champion, the run must beat the captions that do not depend on the photo, and the caption of the nearest training photo. Both runs
are scored on the captions and features that belong to the run. The decision and its reasons are shown on the run's page.

Keys:
    run.id: the run to judge; auto or latest: the one that finished training last; or an id.
    evaluate.split: the split on which the runs are compared.
    gate.margin, gate.confidence, gate.tolerance, gate.min_variety: the rule.
    decoding.*, bootstrap.*: as in evaluate, which scores both runs if that is not done yet.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from pyspark.sql import functions as F

from conf.schema import Gate
from jobs.driver.command import Outcome, run_job
from jobs.driver.job import Job
from jobs.driver.page import write_page
from jobs.driver.runs.champion import Champion, champion, note_promotion, promote, settle
from jobs.driver.runs.registry import Decision, record_decision
from jobs.driver.runs.snapshot import pinned
from jobs.driver.runs.stored_results import store_result, stored_result
from jobs.driver.runs.trained_run import TrainedRun, chosen_run, require_trained
from jobs.driver.scoring.comparison import (
    Comparison,
    compare_runs,
    compare_with_baselines,
    comparison_report,
    with_interval,
)
from jobs.driver.scoring.evaluation import evaluate_run
from jobs.driver.scoring.generation import search_of
from udfs.errors import InputError

RULE = 3  # increase it with every change that may decide otherwise
GUARDS = {"bleu1": "BLEU-1", "gain_over_shuffled": "the gain in BLEU-4 over shuffled photos"}
BASELINES = {
    "most_frequent_caption": "the most frequent caption",
    "shuffled_photos": "its captions of other photos",
    "nearest_photo": "the caption of the nearest training photo",
}


def main(job: Job) -> Outcome:
    if job.settings.run.id == "champion":
        raise InputError("run.id: found champion, expected the run to judge against it; give its id, or latest")
    run, before = chosen_run(job), champion(job.settings)
    if before and before.run == run.id:
        version = note_promotion(job, before)
        return outcome(run.id, version, 0, {"promoted": True, "champion": run.id, "reasons": before.reasons})
    versions = evaluate_both(job, run, before)
    made_from = {
        "rule": RULE, "champion": before.number if before else 0, "split": job.settings.evaluate.split, **versions,
        "gate": asdict(job.settings.gate), "bootstrap": asdict(job.settings.bootstrap),
        "decoding": asdict(search_of(job.settings)),
    }  # fmt: skip
    if judgement := stored_result(run.files.judgement, made_from):
        return outcome(run.id, judgement["version"], 0, judgement["metrics"])

    promoted, reasons, figures = judge(job, run, before)
    numbers = {f"{name}_{key}": value for name, figure in figures.items() for key, value in figure.items()}
    if promoted:
        before, version = promote(job, run.id, before, reasons, numbers)
    else:
        settle(job.settings, run.id)
        name = f"against {before.decision if before else 'baselines'}"
        version = record_decision(job, Decision(run.id, name, False, reasons, versions, numbers))
    metrics = {"promoted": promoted, "champion": before.run if before else None, "reasons": reasons, **figures}
    store_result(run.files.judgement, made_from, {"version": version, "metrics": metrics})
    write_page(job, run.id, job.settings.evaluate.split)
    for reason in reasons:
        job.log.info(reason)
    return outcome(run.id, version, 1, metrics)


def outcome(run_id: str, version: int, written: int, metrics: dict[str, Any]) -> Outcome:
    return Outcome(
        table="runs", run=run_id, version=version, rows_in=1, written=written, unchanged=1 - written, metrics=metrics
    )


def evaluate_both(job: Job, run: TrainedRun, before: Champion | None) -> dict[str, int]:
    """Scores the run and the champion on the same captions and features; returns the versions of both tables."""
    versions = evaluate_run(job, run).versions
    if before:
        evaluate_run(job, require_trained(job.settings, before.run))
    return versions


def judge(job: Job, run: TrainedRun, before: Champion | None) -> tuple[bool, list[str], dict[str, dict]]:
    """Whether to promote a run, the reasons as sentences, and the figures behind them with their intervals."""
    settings, split, table = job.settings, job.settings.evaluate.split, job.warehouse.table("predictions")
    if before:
        comparison = compare_runs(table.read(), [before.run, run.id], split, settings.bootstrap)
        passed, reasons = against_champion(comparison, before.run, run.id, settings.gate)
        figures = comparison_report(comparison, before.run, run.id, settings.bootstrap.confidence)
        metrics = {name: figures["runs"][run.id][name] for name in ("bleu4", "bleu1")}
        metrics.update({f"{name}_difference": value for name, value in figures["difference"].items()})
    else:
        captions, _ = pinned(job, "captions", "tokenize_captions")
        features, _ = pinned(job, "features", "extract_features")
        corpus = captions, features.where(F.col("extractor") == run.extractor)
        comparison = compare_with_baselines(table.read(), corpus, run.id, split, settings.bootstrap)
        passed, reasons = against_baselines(comparison, run.id, settings.gate)
        values = {"bleu4": comparison.figures[run.id]["bleu4"]}
        values |= {f"bleu4_above_{name}": comparison.difference("bleu4", name, run.id) for name in BASELINES}
        metrics = {name: with_interval(value, settings.bootstrap.confidence) for name, value in values.items()}
    if comparison.left_out:
        reasons.append(f"{comparison.left_out} photos were left out, because only one of the two runs captioned them")
    return passed, reasons, metrics


def against_champion(comparison: Comparison, best: str, run: str, gate: Gate) -> tuple[bool, list[str]]:
    """Whether the run beats the champion by the margin and no guard figure gets too bad, with the reasons."""
    better, reason = exceeds(
        comparison.difference("bleu4", best, run), gate.margin, gate.confidence, f"the champion {best}"
    )
    passed, reasons = better, [reason]
    for figure, name in GUARDS.items():
        if comparison.difference(figure, best, run)[0] < -gate.tolerance:
            passed = False
            reasons.append(
                f"{change(comparison, figure, name, best, run)}, worse by more than gate.tolerance={gate.tolerance:g}"
            )
    before, now = (comparison.figures[which]["distinct_share"][0] for which in (best, run))
    if now < gate.min_variety * before:
        passed = False
        variety = change(comparison, "distinct_share", "the share of distinct captions", best, run)
        reasons.append(f"{variety}, less than gate.min_variety={gate.min_variety:g} of the champion's")
    if comparison.difference("bleu4", best, run)[0] > 0 > comparison.difference("cider_d", best, run)[0]:
        bleu, cider, length = (
            change(comparison, figure, name, best, run)
            for figure, name in (("bleu4", "BLEU-4"), ("cider_d", "CIDEr-D"), ("mean_length", "the mean length"))
        )
        reasons.append(
            f"warning: {bleu}, but {cider}, and {length}; look at the length and the variety of the captions"
        )
    return passed, reasons


def change(comparison: Comparison, figure: str, name: str, best: str, run: str) -> str:
    """How a figure changed from the champion to the run, on all photos."""
    values = (comparison.figures[which][figure][0] for which in (best, run))
    return "{} went from {:.4f} to {:.4f}".format(name, *values)


def against_baselines(comparison: Comparison, run: str, gate: Gate) -> tuple[bool, list[str]]:
    """Whether the run beats every one of BASELINES, with a reason for each."""
    results = [
        exceeds(comparison.difference("bleu4", baseline, run), 0.0, gate.confidence, name)
        for baseline, name in BASELINES.items()
    ]
    return all(better for better, _ in results), [reason for _, reason in results]


def exceeds(difference: np.ndarray, margin: float, confidence: float, rival: str) -> tuple[bool, str]:
    """Whether a difference is above the margin in a large enough share of the bootstrap samples, and a sentence about it.

    Args:
        difference: The difference on all photos, then on each bootstrap sample.
        margin: What the difference must exceed.
        confidence: The share of the bootstrap samples in which it must do so.
        rival: What the run is compared with, for the sentence.
    """
    share = float((difference[1:] > margin).mean())
    passed = share >= confidence
    verdict = "enough" if passed else "not enough"
    return passed, (
        f"BLEU-4 is {difference[0]:+.4f} against {rival}, above {margin:g} in {share:.1%} of the bootstrap samples: "
        f"{verdict} for gate.confidence={confidence:g}"
    )


if __name__ == "__main__":
    run_job(main, __doc__)
