"""The cost model of each engine: fitted to the study's runs, and what it predicts where nothing was measured."""

from __future__ import annotations

import math
from itertools import product
from statistics import median

from lab.experiments.study.cost import EXCHANGES, Cost, Work, fit, row
from lab.experiments.study.settings import Study

PREDICTED_NODES, PREDICTED_MBIT = (8, 16, 32, 64), (10, 100, 1_000, 10_000, 100_000)
UNLIMITED = 100_000  # Mbit/s that a link without limits counts for, where the nearest bandwidth is looked for


def work_of(study: Study, run: dict) -> Work:
    """What a step of a run computes and sends, from its overrides."""
    own = study.engines[run["engine"]].overrides(run["nodes"], run["bandwidth_mbit"])
    given = dict(text.split("=", 1) for text in [*study.always, *own])
    steps = int(given.get("communication.local_sgd_steps", 0)) or int(
        given.get("communication.gradient_accumulation_steps", 1)
    )
    size = run["bytes_per_epoch"] / max(run["steps_per_epoch"], 1) * steps
    nodes = run["nodes"]
    return Work(float(given["train.batch_size"]), size * nodes / (2 * (nodes - 1)) if nodes > 1 else 0.0, steps)


def fit_engine(study: Study, runs: list[dict], engine: str) -> tuple[Cost, list[float]]:
    own = [run for run in runs if run["engine"] == engine]
    rows = [row(work_of(study, run), run["nodes"], run["cpus"], run["bandwidth_mbit"]) for run in own]
    return fit(rows, [run["seconds_per_step"] for run in own])


def about_fit(cost: Cost, errors: list[float]) -> dict:
    return {
        **cost.__dict__,
        "median_absolute_error": round(median(map(abs, errors)), 4),
        "largest_absolute_error": round(max(map(abs, errors)), 4),
    }


def predict(study: Study, engine: str, runs: list[dict], cost: Cost) -> list[dict]:
    """Seconds an epoch that the model expects where nothing was measured, with the processors of the first regime, and the
    settings of the nearest bandwidth that was measured on most nodes."""
    regime = next(iter(study.regimes))
    own = [run for run in runs if run["engine"] == engine and run["regime"] == regime]
    found = []
    for exchange, nodes, mbit in product(EXCHANGES, PREDICTED_NODES, PREDICTED_MBIT):
        like = max(own, key=lambda run: (run["nodes"], -abs(math.log((run["bandwidth_mbit"] or UNLIMITED) / mbit))))
        seconds = like["steps_per_epoch"] * cost.seconds(work_of(study, like), nodes, like["cpus"], mbit, exchange)
        about = {"engine": engine, "exchange": exchange, "nodes": nodes, "bandwidth_mbit": mbit}
        found.append({**about, "seconds_per_epoch": round(seconds, 2)})
    return found


def least_links(study: Study, engine: str, runs: list[dict], cost: Cost) -> list[dict]:
    """The Mbit/s above which so many nodes need less time a step than one does, by the model; None: never at any.

    With the processors of the first regime and each of the engine's settings for links, which are named by the narrowest
    link that has them. What makes a step slower, with so many nodes, than one node's step is not the wire alone.
    """
    found = []
    for like, exchange, nodes in product(settings_of_links(study, engine, runs), EXCHANGES, (2, 4, *PREDICTED_NODES)):
        work, cpus = work_of(study, like), like["cpus"]
        saved = cost.seconds(work, 1, cpus, 0) - cost.seconds(work, nodes, cpus, 0, exchange)
        at_1_mbit = cost.seconds(work, nodes, cpus, 1, exchange) - cost.seconds(work, nodes, cpus, 0, exchange)
        least = round(at_1_mbit / saved, 2) if saved > 0 else None
        about = {"engine": engine, "settings_for_mbit": like["bandwidth_mbit"], "exchange": exchange, "nodes": nodes}
        found.append({**about, "least_mbit": least})
    return found


def settings_of_links(study: Study, engine: str, runs: list[dict]) -> list[dict]:
    """A run on most nodes of the first regime for each of the engine's settings, that of the narrowest link first."""
    regime, most = next(iter(study.regimes)), max(study.nodes)
    own = [run for run in runs if (run["engine"], run["regime"], run["nodes"]) == (engine, regime, most)]
    found: dict[tuple, dict] = {}
    for run in sorted(own, key=lambda run: run["bandwidth_mbit"] or UNLIMITED):
        found.setdefault(tuple(study.engines[engine].overrides(most, run["bandwidth_mbit"])), run)
    return list(found.values())
