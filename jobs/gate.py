"""Promotes a run, or keeps the champion, and writes the decision with its reasons to the table `runs`.

A run is promoted if its BLEU-4 exceeds the champion's by `gate.margin` in the share `gate.confidence` of the bootstrap samples,
and none of the guard figures gets worse by more than `gate.tolerance`: BLEU-1, the share of captions that are not repeated, and
the gain over shuffled photos. Without a champion, it must beat the captions that do not depend on the photo. Both runs are
scored on the captions and features that belong to the run.

Keys:
    run.id: the run to judge; auto or latest: the one that finished training last; or an id.
    evaluate.split: the split on which the runs are compared.
    gate.margin, gate.confidence, gate.tolerance: the rule.
    decoding.*, bootstrap.*: as in evaluate, which scores both runs if that is not done yet.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from conf.schema import Gate
from jobs.driver.command import Outcome, run_job
from jobs.driver.job import Job
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

# (figure, what it is called, +1 if more is better and -1 if less is better)
GUARDS = (
    ("bleu1", "BLEU-1", 1),
    ("repeated", "the share of repeated captions", -1),
    ("gain_over_shuffled", "the gain in BLEU-4 over shuffled photos", 1),
)
BASELINES = {"most_frequent_caption": "the most frequent caption", "shuffled_photos": "its captions of other photos"}


def main(job: Job) -> Outcome:
    if job.settings.run.id == "champion":
        raise InputError("run.id: found champion, expected the run to judge against it; give its id, or latest")
    run, before = chosen_run(job), champion(job.settings)
    if before and before.run == run.id:
        version = note_promotion(job, before)
        return outcome(run.id, version, 0, {"promoted": True, "champion": run.id, "reasons": before.reasons})
    versions = evaluate_both(job, run, before)
    made_from = {
        "champion": before.number if before else 0, "split": job.settings.evaluate.split, **versions,
        "gate": asdict(job.settings.gate), "bootstrap": asdict(job.settings.bootstrap),
        "decoding": asdict(search_of(job.settings)),
    }  # fmt: skip
    if judgement := stored_result(run.files.judgement, made_from):
        return outcome(run.id, judgement["version"], 0, judgement["metrics"])

    promoted, reasons, figures = judge(job, run.id, before)
    numbers = {f"{name}_{key}": value for name, figure in figures.items() for key, value in figure.items()}
    if promoted:
        before, version = promote(job, run.id, before, reasons, numbers)
    else:
        settle(job.settings, run.id)
        name = f"against {before.decision if before else 'baselines'}"
        version = record_decision(job, Decision(run.id, name, False, reasons, versions, numbers))
    metrics = {"promoted": promoted, "champion": before.run if before else None, "reasons": reasons, **figures}
    store_result(run.files.judgement, made_from, {"version": version, "metrics": metrics})
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


def judge(job: Job, run: str, before: Champion | None) -> tuple[bool, list[str], dict[str, dict]]:
    """Whether to promote a run, the reasons as sentences, and the figures behind them with their intervals."""
    settings, split, table = job.settings, job.settings.evaluate.split, job.warehouse.table("predictions")
    if before:
        comparison = compare_runs(table.read(), [before.run, run], split, settings.bootstrap)
        passed, reasons = against_champion(comparison, before.run, run, settings.gate)
        figures = comparison_report(comparison, before.run, run, settings.bootstrap.confidence)
        metrics = {name: figures["runs"][run][name] for name in ("bleu4", "bleu1")}
        metrics.update({f"{name}_difference": value for name, value in figures["difference"].items()})
    else:
        captions, _ = pinned(job, "captions", "tokenize_captions")
        comparison = compare_with_baselines(table.read(), captions, run, split, settings.bootstrap)
        passed, reasons = against_baselines(comparison, run, settings.gate)
        metrics = {"bleu4": with_interval(comparison.figures[run]["bleu4"], settings.bootstrap.confidence)}
    if comparison.left_out:
        reasons.append(f"{comparison.left_out} photos were left out, because only one of the two runs captioned them")
    return passed, reasons, metrics


def against_champion(comparison: Comparison, best: str, run: str, gate: Gate) -> tuple[bool, list[str]]:
    """Whether the run beats the champion by the margin and no guard figure gets too bad, with the reasons."""
    better, reason = exceeds(
        comparison.difference("bleu4", best, run), gate.margin, gate.confidence, f"the champion {best}"
    )
    passed, reasons = better, [reason]
    for figure, name, direction in GUARDS:
        change = direction * comparison.difference(figure, best, run)[0]
        if change < -gate.tolerance:
            passed = False
            values = (comparison.figures[which][figure][0] for which in (best, run))
            reasons.append(
                "{} went from {:.4f} to {:.4f}, worse by more than gate.tolerance={}".format(
                    name, *values, gate.tolerance
                )
            )
    return passed, reasons


def against_baselines(comparison: Comparison, run: str, gate: Gate) -> tuple[bool, list[str]]:
    """Whether the run beats all captions that do not depend on the photo, with a reason for each kind."""
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
