"""Turns the data of a page into HTML. Every text is escaped by the template; charts are the only markup made here."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from jobs.driver.page import charts
from jobs.driver.page.collect import Page
from udfs.engine.learning_curves import best_line
from udfs.scoring.bleu import ORDERS

SCORES = tuple(f"bleu{order}" for order in ORDERS)
NAMES = {
    "most_frequent_caption": "Most frequent training caption for every photo",
    "shuffled_photos": "This run’s captions, given to other photos",
    "nearest_photo": "A caption of the most similar training photo",
    "human": "Human: a reference against the others",
    "legacy": "This run, with boundary tokens counted as words (legacy)",
}
KINDS = {"distance": "distance to the training photos", "length": "length of the references", "object": "object"}


def render(page: Page) -> str:
    """The page as one HTML text that needs no other file."""
    here = files(__package__)
    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(lambda name: (here / name).read_text(encoding="utf-8")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"score": score, "percent": percent, "number": number}
    style = Markup((here / "page.css").read_text(encoding="utf-8"))
    main = page.evaluations.get(page.split, {}).get("metrics", {})
    return environment.get_template("page.html.j2").render(
        page=page,
        style=style,
        main=main,
        order=SCORES,
        scores={split: score_rows(found["metrics"]) for split, found in page.evaluations.items()},
        score_chart=score_chart(score_rows(main)),
        curves=curves(page.history, page.training or {}, page.identity.get("train.monitor", "val_loss")),
        external=[view(name, found) for name, found in page.external.items()],
        workers=workers(page.history),
        worker_chart=worker_chart(page.history),
        interval_of=interval_of,
        beam_of=beam_of,
        number=number,
        percent=percent,
    )


def score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


def interval_of(metrics: dict, name: str) -> tuple[float, float] | None:
    """The interval of a figure as an evaluation notes it, or None where it has none."""
    found = metrics.get("intervals", {}).get(name)
    return (found["low"], found["high"]) if found else None


def beam_of(evaluation: dict) -> str:
    """How wide an evaluation's beam was, in words."""
    width = evaluation.get("made_from", {}).get("decoding", {}).get("beam_width")
    return "" if width is None else "greedy" if width == 1 else f"beam {width}"


def score_rows(metrics: dict) -> list[dict]:
    """A row a system: its name, BLEU-1..4 and their intervals; this run first."""
    systems = {"this run": metrics}
    if "legacy" in metrics:
        systems["legacy"] = metrics["legacy"]
    systems |= metrics.get("baselines", {})
    return [
        {
            "key": key,
            "name": NAMES.get(key, key.replace("_", " ").capitalize()),
            "values": [found.get(name) for name in SCORES],
            "intervals": [interval_of(found, name) for name in SCORES],
        }
        for key, found in systems.items()
        if any(name in found for name in SCORES)
    ]


def score_chart(rows: list[dict]) -> Markup | None:
    rows = [row for row in rows if row["values"][-1] is not None and row["key"] != "legacy"]
    if len(rows) < 2:
        return None
    short = {"this run": "this run", "most_frequent_caption": "most frequent", "shuffled_photos": "other photos",
             "nearest_photo": "nearest photo"}  # fmt: skip
    bars = [
        (short.get(row["key"], row["key"]), row["values"][-1], *(row["intervals"][-1] or (row["values"][-1],) * 2))
        for row in rows
    ]
    return charts.intervals("scores", bars, "BLEU-4")


def curves(history: list[dict], training: dict, monitor: str) -> dict | None:
    """The charts of training and their figures; None where no epoch was noted."""
    if not history:
        return None
    epochs = [line["epoch"] for line in history]
    best = training.get("best_epoch") or best_line(history, monitor)["epoch"]
    losses = {name: (epochs, [line[key] for line in history]) for name, key in LOSSES.items()}
    noted = [line for line in history if SCORES[0] in line]
    bleu = {f"BLEU-{name[4]}": ([x["epoch"] for x in noted], [x.get(name) for x in noted]) for name in SCORES}
    return {
        "best": best,
        "monitor": MONITORS.get(monitor, monitor),
        "loss": charts.lines("loss", losses, "epoch", "loss", best, f"best: {best}"),
        "bleu": charts.lines("bleu", bleu, "epoch", "BLEU", best, f"best: {best}") if noted else None,
        "diagnosis": training.get("diagnosis"),
        "lines": history,
        "scored": bool(noted),
    }


MONITORS = {"val_loss": "validation loss", "bleu4": "BLEU-4 of the validation captions"}
LOSSES = {"training": "loss", "validation": "val_loss"}


def workers(history: list[dict]) -> list[dict]:
    """What each worker used over all epochs: captions and MiB in sum, cores on average, and its largest memory."""
    found: dict[int, list[dict]] = {}
    for line in history:
        for worker in line.get("workers", []):
            found.setdefault(worker["rank"], []).append({**worker, "seconds": line["seconds"]})
    return [
        {
            "rank": rank,
            "address": lines[-1]["address"],
            "captions": sum(line["captions"] for line in lines),
            "cores": sum(x["cpu_cores"] * x["seconds"] for x in lines) / max(1e-9, sum(x["seconds"] for x in lines)),
            "memory": max(line["memory_mb"] for line in lines),
            "sent": sum(line["sent_mb"] for line in lines),
            "received": sum(line["received_mb"] for line in lines),
        }
        for rank, lines in sorted(found.items())
    ]


def worker_chart(history: list[dict]) -> Markup | None:
    if len(history) < 2:
        return None
    rows = {
        "captions a second": ([line["epoch"] for line in history], [line["captions_per_second"] for line in history])
    }
    return charts.lines("speed", rows, "epoch", "captions a second")


def view(name: str, found: dict) -> dict:
    """A comparison of two populations with its charts."""
    groups = found.get("groups", [])
    whole = next((group for group in groups if group["kind"] == "all"), None)
    captions = found.get("captions")
    lengths = captions and {
        label: {int(length): share for length, share in captions[side]["lengths"].items()}
        for label, side in (("training", "training"), ("evaluated", "evaluation"))
    }
    kinds = {kind: [group for group in groups if group["kind"] == kind] for kind in KINDS}
    return {
        "name": name,
        "found": found,
        "whole": whole,
        "lengths": lengths and charts.shares(f"lengths {name}", lengths, "words of a caption"),
        "groups": [
            {"title": KINDS[kind], "kind": kind, "rows": rows, "chart": group_chart(f"{name} {kind}", rows, whole)}
            for kind, rows in kinds.items()
            if rows
        ],
    }


def group_chart(name: str, rows: list[dict], whole: dict) -> Markup:
    bars = [(f"{label(row)} ({row['photos']})", row["bleu4"], row["low"], row["high"]) for row in rows]
    return charts.intervals(name, bars, "BLEU-4", whole["bleu4"])


def label(group: dict) -> str:
    if "from" not in group:
        return group["name"]
    low, high = (f"{group[key]:.2g}" if group["kind"] == "distance" else f"{group[key]:.1f}" for key in ("from", "to"))
    return low if low == high else f"{low} to {high}"
