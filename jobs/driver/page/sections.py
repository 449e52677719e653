"""Rows and charts for the sections of a page on training, populations and workers; from the data that `collect` gathered."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from jobs.driver.page import charts
from jobs.driver.page.score_tables import SCORES
from udfs.engine.learning_curves import best_epoch
from udfs.engine.metrics import EpochMetrics
from udfs.scoring.bleu import ORDERS

EXAMPLE_UNITS = ("captions", "photos")
MONITORS = {"val_loss": "validation loss", "bleu4": "BLEU-4 of the validation captions"}
LOSSES = {"training": "loss", "validation": "val_loss"}
GROUP_KINDS = {
    "distance": "distance from the training photos",
    "length": "length of the references",
    "object": "object",
}


def search_of(evaluation: dict) -> str:
    """Returns how an evaluation's captions were searched for: `greedy search`, or `beam search, width 3`."""
    width = evaluation.get("made_from", {}).get("decoding", {}).get("beam_width")
    return "" if width is None else "greedy search" if width == 1 else f"beam search, width {width}"


def curves(history: list[dict], training: dict, monitor: str) -> dict[str, Any] | None:
    """Returns the learning curves and their numbers, or None if no epoch has finished.

    Args:
        history: The lines of metrics.jsonl.
        training: Metrics of the finished training; empty while it runs.
        monitor: What the best epoch was chosen by, the setting `train.monitor`.
    """
    if not history:
        return None
    epochs = [line["epoch"] for line in history]
    best = training.get("best_epoch") or best_epoch([EpochMetrics.from_line(line) for line in history], monitor).epoch
    losses = {name: (epochs, [line[key] for line in history]) for name, key in LOSSES.items()}
    scored = [line for line in history if SCORES[0] in line]
    scored_epochs = [line["epoch"] for line in scored]
    bleu = {f"BLEU-{order}": (scored_epochs, [line.get(f"bleu{order}") for line in scored]) for order in ORDERS}
    return {
        "best": best,
        "monitor": MONITORS.get(monitor, monitor),
        "loss": charts.lines("loss", losses, "epoch", "loss", charts.Mark(best, f"best: {best}")),
        "bleu": charts.lines("bleu", bleu, "epoch", "BLEU", charts.Mark(best, f"best: {best}")) if scored else None,
        "diagnosis": training.get("diagnosis"),
        "lines": history,
        "scored": bool(scored),
    }


def workers(history: list[dict]) -> list[dict]:
    """Returns each worker's totals over all epochs: examples and MiB in sum, cores on average, and its largest memory."""
    by_rank: dict[int, list[dict]] = {}
    for line in history:
        for worker in line.get("workers", []):
            by_rank.setdefault(worker["rank"], []).append({**worker, "seconds": line["seconds"]})
    return [
        {
            "rank": rank,
            "address": lines[-1]["address"],
            "examples": sum(line[unit] for line in lines for unit in EXAMPLE_UNITS if unit in line),
            "cores": sum(line["cpu_cores"] * line["seconds"] for line in lines)
            / max(1e-9, sum(line["seconds"] for line in lines)),
            "memory": max(line["memory_mb"] for line in lines),
            "sent": sum(line["sent_mb"] for line in lines),
            "received": sum(line["received_mb"] for line in lines),
        }
        for rank, lines in sorted(by_rank.items())
    ]


def worker_chart(history: list[dict]) -> Markup | None:
    """Draws the speed of training by epoch; None for a single epoch."""
    if len(history) < 2:
        return None
    speeds = [line["words_per_second"] for line in history]
    series = {"words per second": ([line["epoch"] for line in history], speeds)}
    return charts.lines("speed", series, "epoch", "words per second")


def external_section(name: str, comparison: dict) -> dict[str, Any]:
    """Returns a comparison of two populations with its charts.

    Args:
        name: The name of its JSON file.
        comparison: The content of that file.
    """
    groups = comparison.get("groups", [])
    captions = comparison.get("captions")
    lengths = captions and {
        label: {int(length): share for length, share in captions[side]["lengths"].items()}
        for label, side in (("training", "training"), ("evaluated", "evaluation"))
    }
    all_photos = next((group for group in groups if group["kind"] == "all"), {})
    by_kind = {kind: [group for group in groups if group["kind"] == kind] for kind in GROUP_KINDS}
    return {
        "name": name,
        "comparison": comparison,
        "lengths": lengths and charts.distributions(f"lengths {name}", lengths, "words in a caption"),
        "groups": [
            {"title": GROUP_KINDS[kind], "chart": group_chart(f"{name} {kind}", rows, all_photos)}
            for kind, rows in by_kind.items()
            if rows
        ],
    }


def group_chart(name: str, groups: list[dict], reference: dict) -> Markup:
    """Draws BLEU-4 of groups next to that of a reference group."""
    bars = [
        (f"{group_label(group)} ({group['photos']})", group["bleu4"], group["low"], group["high"]) for group in groups
    ]
    return charts.intervals(name, bars, "BLEU-4", reference["bleu4"])


def group_label(group: dict) -> str:
    if "from" not in group:
        return group["name"]
    form = ".2g" if group["kind"] == "distance" else ".1f"
    low, high = format(group["from"], form), format(group["to"], form)
    return low if low == high else f"{low} to {high}"
