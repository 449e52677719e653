"""Promotes a run, or keeps the champion, and writes the decision with its reasons to the table `runs`.

A challenger is promoted if its BLEU-4 exceeds the champion's by `gate.margin` in the share `gate.confidence` of bootstrap
samples, and no guard falls by more than `gate.tolerance`: BLEU-1, the share of captions that are not repeated, the gain over
shuffled photos. Without a champion it must beat the captions that never look at the photo. Both are judged on the captions
and features that belong to the challenger's run.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from conf.schema import Gate
from jobs.compare import report
from jobs.driver.job import Job, Outcome, run_job
from jobs.driver.runs.champion import Champion, champion, note_promotion, promote, require_trained, settle
from jobs.driver.runs.registry import latest_run, read_json, record_decision, write_json
from jobs.driver.runs.snapshot import pinned
from jobs.driver.scoring.comparison import Comparison, compare_runs, compare_with_baselines, describe
from jobs.evaluate import evaluate_run, search_of
from udfs.errors import InputError

# (figure, what it is called, +1 where more is better)
GUARDS = (
    ("bleu1", "BLEU-1", 1),
    ("repeated", "the share of repeated captions", -1),
    ("gain_over_shuffled", "the gain in BLEU-4 over shuffled photos", 1),
)
BASELINES = {"most_frequent_caption": "the most frequent caption", "shuffled_photos": "its captions of other photos"}


def main(job: Job) -> Outcome:
    run = latest_run(job) if job.settings.run.id == "auto" else job.settings.run.id
    if run == "champion":
        raise InputError("run.id: found champion, expected the run to judge against it; give its id")
    folder, before = require_trained(job.settings, run), champion(job.settings)
    if before and before.run == run:
        version = note_promotion(job, before)
        return outcome(run, version, 0, {"promoted": True, "champion": run, "reasons": before.reasons})
    versions = evaluate_both(job, run, before)
    basis = {
        "champion": before.number if before else 0, "split": job.settings.evaluate.split, **versions,
        "gate": asdict(job.settings.gate), "bootstrap": asdict(job.settings.bootstrap), "decoding": asdict(search_of(job.settings)),
    }  # fmt: skip
    last = read_json(f"{folder}/judgement.json") or {}
    if last.get("basis") == basis:
        return outcome(run, last["version"], 0, last["metrics"])

    promoted, reasons, metrics = judge(job, run, before)
    numbers = {f"{name}_{key}": value for name, figure in metrics.items() for key, value in figure.items()}
    if promoted:
        before, version = promote(job, run, before, reasons, numbers)
    else:
        settle(job.settings, run)
        name = f"against {before.decision if before else 'baselines'}"
        version = record_decision(job, run, name, False, reasons, versions, numbers)
    metrics = {"promoted": promoted, "champion": before.run if before else None, "reasons": reasons, **metrics}
    write_json(f"{folder}/judgement.json", {"basis": basis, "version": version, "metrics": metrics})
    for reason in reasons:
        job.log.info(reason)
    return outcome(run, version, 1, metrics)


def outcome(run: str, version: int, written: int, metrics: dict) -> Outcome:
    return Outcome("runs", run, version, 1, written, 1 - written, 0, metrics)


def evaluate_both(job: Job, run: str, before: Champion | None) -> dict[str, int]:
    """Scores challenger and champion on the same captions and features; returns the versions of both tables."""
    versions = evaluate_run(job, run).versions
    if before:
        evaluate_run(job, before.run)
    return versions


def judge(job: Job, run: str, before: Champion | None) -> tuple[bool, list[str], dict]:
    """Whether to promote a run, the reasons, and the figures behind them."""
    settings, split, table = job.settings, job.settings.evaluate.split, job.warehouse.table("predictions")
    if before:
        comparison = compare_runs(table.read(), [before.run, run], split, settings.bootstrap)
        passed, reasons = against_champion(comparison, before.run, run, settings.gate)
        figures = report(comparison, [before.run, run], settings.bootstrap.confidence)
        metrics = {name: figures["runs"][run][name] for name in ("bleu4", "bleu1")}
        metrics.update({f"{name}_difference": value for name, value in figures["difference"].items()})
    else:
        captions, _ = pinned(job, "captions", "tokenize_captions")
        comparison = compare_with_baselines(table.read(), captions, run, split, settings.bootstrap)
        passed, reasons = against_baselines(comparison, run, settings.gate)
        metrics = {"bleu4": describe(comparison.figures[run]["bleu4"], settings.bootstrap.confidence)}
    if comparison.left_out:
        reasons.append(f"{comparison.left_out} photos were left out, which only one of the two captioned")
    return passed, reasons, metrics


def against_champion(comparison: Comparison, best: str, run: str, gate: Gate) -> tuple[bool, list[str]]:
    """Whether the run beats the champion by the margin and keeps every guard, with a reason for each."""
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
    """Whether the run beats every caption that never looks at the photo, with a reason for each."""
    judged = [
        exceeds(comparison.difference("bleu4", baseline, run), 0.0, gate.confidence, name)
        for baseline, name in BASELINES.items()
    ]
    return all(better for better, _ in judged), [reason for _, reason in judged]


def exceeds(difference: np.ndarray, margin: float, confidence: float, rival: str) -> tuple[bool, str]:
    """Whether a difference is above the margin in the wanted share of bootstrap samples, and that as a sentence."""
    share = float((difference[1:] > margin).mean())
    passed = share >= confidence
    verdict = "enough" if passed else "not enough"
    return passed, (
        f"BLEU-4 is {difference[0]:+.4f} against {rival}, above {margin:g} in {share:.1%} of the bootstrap samples: "
        f"{verdict} for gate.confidence={confidence:g}"
    )


if __name__ == "__main__":
    run_job(main, __doc__)
