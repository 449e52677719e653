"""Tiles, tables and the chart of the page's section on scores, and the gate's decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from markupsafe import Markup

from jobs.driver.page import charts
from udfs.scoring.bleu import ORDERS

SCORES = tuple(f"bleu{order}" for order in ORDERS)
SYSTEMS = {
    "this run": "This run",
    "without_penalty": "This run, without brevity penalty",
    "legacy": "This run, with boundary tokens counted as words (legacy)",
    "most_frequent_caption": "Baseline: the most frequent training caption for every photo",
    "shuffled_photos": "Baseline: this run’s captions, shuffled among the photos",
    "nearest_photo": "Baseline: a caption of the nearest training photo",
    "human": "Human: each reference scored against the others",
}
SHORT_NAMES = {
    "most_frequent_caption": "most frequent",
    "shuffled_photos": "shuffled",
    "nearest_photo": "nearest photo",
}
ABOVE = {  # baselines whose BLEU-4 the run's is compared with in a tile
    "shuffled_photos": ("BLEU-4 above shuffled captions", "compared with the same captions on other photos"),
    "nearest_photo": ("BLEU-4 above the nearest photo’s", "compared with a look-up without a model"),
}


class Cell(NamedTuple):
    """A value with a note below it, both as text."""

    text: str
    note: str = ""


class Column(NamedTuple):
    """A figure of the tables: its title, its key in the metrics, its form, and the key of a share beside it."""

    title: str
    key: str
    form: Callable[[Any], str]
    share: str = ""


def score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


def tenths(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


QUALITY = (
    *(Column(f"BLEU\N{NON-BREAKING HYPHEN}{order}", f"bleu{order}", score) for order in ORDERS),
    Column("CIDEr\N{NON-BREAKING HYPHEN}D", "cider_d", score),
    Column("ROUGE\N{NON-BREAKING HYPHEN}L", "rouge_l", score),
)
LENGTH_AND_VARIETY = (
    Column("words per caption", "mean_length", tenths),
    Column("brevity penalty", "brevity_penalty", score),
    Column("distinct captions", "distinct_captions", number, share="distinct_share"),
    Column("distinct words", "distinct_words", number),
    Column("captions not in the training set", "novel_share", percent),
)
TILES = (*QUALITY, *LENGTH_AND_VARIETY[:3])


def interval_of(metrics: dict, name: str) -> tuple[float, float] | None:
    """Returns (low, high) of a score, or None if no interval was computed."""
    interval = metrics.get("intervals", {}).get(name)
    return (interval["low"], interval["high"]) if interval else None


def tiles(metrics: dict) -> list[tuple[str, Cell]]:
    """Returns the run's main figures as (title, cell), and by how much its BLEU-4 exceeds that of baselines."""
    shown = [(column.title, _cell(metrics, column)) for column in TILES if column.key in metrics]
    for name, (title, note) in ABOVE.items():
        baseline = metrics.get("baselines", {}).get(name, {})
        if SCORES[-1] in baseline:
            shown.append((title, Cell(f"{metrics[SCORES[-1]] - baseline[SCORES[-1]]:+.3f}", note)))
    return shown


def tables(metrics: dict) -> list[dict[str, Any]]:
    """Returns the tables of a split: title, columns (their titles) and rows (key, name and cells), this run first."""
    shown = {"scores": QUALITY, "length and variety": LENGTH_AND_VARIETY}
    systems = _systems(metrics)
    return [
        {"title": title, "columns": [column.title for column in columns], "rows": rows}
        for title, columns in shown.items()
        if (rows := _rows(systems, columns))
    ]


def score_chart(metrics: dict) -> Markup | None:
    """Draws BLEU-4 of this run and its baselines; None if there are no baselines."""
    systems = {"this run": metrics, **metrics.get("baselines", {})}
    bars = []
    for key, figures in systems.items():
        if (value := figures.get(SCORES[-1])) is not None:
            low, high = interval_of(figures, SCORES[-1]) or (value, value)
            bars.append((SHORT_NAMES.get(key, key), value, low, high))
    return charts.intervals("scores", bars, "BLEU-4") if len(bars) > 1 else None


def decision(judgement: dict) -> dict[str, Any] | None:
    """Returns the gate's verdict and its reasons, or None if it has not judged the run.

    Args:
        judgement: The content of judgement.json; empty if there is none.
    """
    metrics = judgement.get("metrics")
    if metrics is None:
        return None
    kept = metrics.get("champion")
    refused = f"Not promoted; the champion is {kept}." if kept else "Not promoted; there is no champion yet."
    return {"verdict": "Promoted." if metrics["promoted"] else refused, "reasons": metrics["reasons"]}


def _systems(metrics: dict) -> dict[str, dict]:
    without_penalty = {
        name: metrics[f"{name}_without_penalty"] for name in SCORES if f"{name}_without_penalty" in metrics
    }
    intervals = metrics.get("intervals", {})
    without_penalty["intervals"] = {
        name: intervals[f"{name}_without_penalty"] for name in SCORES if f"{name}_without_penalty" in intervals
    }
    variants = {"without_penalty": without_penalty, "legacy": metrics.get("legacy", {})}
    return {"this run": metrics, **variants, **metrics.get("baselines", {})}


def _rows(systems: dict[str, dict], columns: tuple[Column, ...]) -> list[dict[str, Any]]:
    return [
        {
            "key": key,
            "name": SYSTEMS.get(key, key.replace("_", " ").capitalize()),
            "cells": [_cell(figures, column) for column in columns],
        }
        for key, figures in systems.items()
        if any(column.key in figures for column in columns)
    ]


def _cell(figures: dict, column: Column) -> Cell:
    if column.share and column.share in figures:
        return Cell(column.form(figures[column.key]), f"{percent(figures[column.share])} of the photos")
    interval = interval_of(figures, column.key)
    note = " to ".join(column.form(bound) for bound in interval) if interval else ""
    return Cell(column.form(figures.get(column.key)), note)
