"""The report of a retraining run, in Markdown, from the JSON lines of its jobs."""

from __future__ import annotations

# The columns of the table of scores: the metric and its form.
SCORES = {
    **{f"BLEU-{order}": (f"bleu{order}", ".4f") for order in (1, 2, 3, 4)},
    "CIDEr-D": ("cider_d", ".4f"), "ROUGE-L": ("rouge_l", ".4f"), "brevity penalty": ("brevity_penalty", ".3f"),
    "words": ("mean_length", ".1f"), "distinct captions": ("distinct_captions", "d"),
}  # fmt: skip
ORDER = ("extract_features", "tokenize_captions", "build_examples", "train", "evaluate", "gate")


def report(run: str, lines: list[dict]) -> str:
    """The work of a run, the decision and its reasons.

    Args:
        run: The run's id.
        lines: The JSON lines of its jobs, each with job, rows_in, written, unchanged, quarantined, seconds and metrics.
    """
    by_job = {line["job"]: line for line in lines}
    parts = [f"# Retraining {run}", decision(by_job), "| job | rows in | written | unchanged | quarantined | seconds |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    columns = ("job", "rows_in", "written", "unchanged", "quarantined", "seconds")
    parts += [f"| {' | '.join(str(by_job[job][column]) for column in columns)} |" for job in ORDER if job in by_job]
    text = "\n".join([parts[0], "", parts[1], "", *parts[2:]])
    return text + scores(by_job) + "\n"


def decision(by_job: dict[str, dict]) -> str:
    """The gate's decision and its reasons."""
    if "gate" not in by_job:
        return "**Nothing new.** No table has changed since these settings were last trained on and judged; nothing was trained."
    metrics = by_job["gate"]["metrics"]
    refused = f"Not promoted; the champion is {metrics['champion'] or 'none yet'}."
    verdict = "Promoted." if metrics["promoted"] else refused
    return "\n".join([f"**{verdict}**", "", *(f"- {reason}" for reason in metrics["reasons"])])


def scores(by_job: dict[str, dict]) -> str:
    """Scores, length and variety of the run and of the baselines, as a table."""
    if "evaluate" not in by_job:
        return ""
    metrics = by_job["evaluate"]["metrics"]
    rows = {"this run": metrics, **metrics.get("baselines", {})}
    head = ["", "", f"| captions of the evaluated split | {' | '.join(SCORES)} |", f"|---|{'---|' * len(SCORES)}"]
    cells = {name: [cell(row, *form) for form in SCORES.values()] for name, row in rows.items()}
    body = [f"| {name.replace('_', ' ')} | {' | '.join(values)} |" for name, values in cells.items()]
    return "\n".join(head + body)


def cell(metrics: dict, key: str, form: str) -> str:
    return format(metrics[key], form) if key in metrics else "-"
