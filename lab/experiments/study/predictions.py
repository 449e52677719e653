"""Fits the cost model to the study's runs, and predicts what was not measured."""

from __future__ import annotations

import math
from dataclasses import asdict
from itertools import product
from statistics import median

from lab.experiments.study.cost import EXCHANGES, Cost, Work, cost_terms, fit
from lab.experiments.study.settings import Study

PREDICTED_NODES, PREDICTED_MBIT = (8, 16, 32, 64), (10, 100, 1_000, 10_000, 100_000)
UNLIMITED = 100_000  # Mbit/s that stand for an unlimited link in a search for the nearest bandwidth


def work_of(study: Study, run: dict) -> Work:
    """What a step of a run computes and sends, from its overrides and its measured bytes."""
    engine = study.engines[run["engine"]].overrides(run["nodes"], run["bandwidth_mbit"])
    values = dict(text.split("=", 1) for text in [*study.always, *engine])
    steps = int(values.get("communication.local_sgd_steps", 0)) or int(
        values.get("communication.gradient_accumulation_steps", 1)
    )
    nodes, size = run["nodes"], run["bytes_per_epoch"] / max(run["steps_per_epoch"], 1) * steps
    exchanged = size * nodes / (2 * (nodes - 1)) if nodes > 1 else 0.0
    return Work(float(values["train.batch_size"]), exchanged, steps)


def fit_engine(study: Study, runs: list[dict], engine: str) -> tuple[Cost, list[float]]:
    """Fits the cost of a step to an engine's runs. Returns the coefficients and the relative errors."""
    runs = [run for run in runs if run["engine"] == engine]
    terms = [cost_terms(work_of(study, run), run["nodes"], run["cpus"], run["bandwidth_mbit"]) for run in runs]
    return fit(terms, [run["seconds_per_step"] for run in runs])


def summarize_fit(cost: Cost, errors: list[float]) -> dict:
    """The coefficients with the median and the largest relative error."""
    return {
        **asdict(cost),
        "median_absolute_error": round(median(map(abs, errors)), 4),
        "largest_absolute_error": round(max(map(abs, errors)), 4),
    }


def predict(study: Study, engine: str, runs: list[dict], cost: Cost) -> list[dict]:
    """Seconds an epoch by exchange, nodes and bandwidth that were not measured.

    The processors are those of the first regime. The settings are those of the run with the most nodes and the nearest
    bandwidth.
    """
    regime = next(iter(study.regimes))
    measured = [run for run in runs if run["engine"] == engine and run["regime"] == regime]
    predictions = []
    for exchange, nodes, mbit in product(EXCHANGES, PREDICTED_NODES, PREDICTED_MBIT):
        nearest = max(
            measured, key=lambda run: (run["nodes"], -abs(math.log((run["bandwidth_mbit"] or UNLIMITED) / mbit)))
        )
        a_step = cost.seconds(work_of(study, nearest), nodes, nearest["cpus"], mbit, exchange)
        about = {"engine": engine, "exchange": exchange, "nodes": nodes, "bandwidth_mbit": mbit}
        predictions.append({**about, "seconds_per_epoch": round(nearest["steps_per_epoch"] * a_step, 2)})
    return predictions


def least_links(study: Study, engine: str, runs: list[dict], cost: Cost) -> list[dict]:
    """The bandwidth above which a step on so many nodes is faster than on one, by the model.

    The processors are those of the first regime. There is a record for each exchange and each of the engine's settings for
    links, which are identified by the narrowest link that has them.

    Returns:
        Records with `least_mbit` in Mbit/s; None if a step is never faster.
    """
    records = []
    for run, exchange, nodes in product(
        runs_by_link_settings(study, engine, runs), EXCHANGES, (2, 4, *PREDICTED_NODES)
    ):
        work, cpus = work_of(study, run), run["cpus"]
        saved = cost.seconds(work, 1, cpus, 0) - cost.seconds(work, nodes, cpus, 0, exchange)
        at_1_mbit = cost.seconds(work, nodes, cpus, 1, exchange) - cost.seconds(work, nodes, cpus, 0, exchange)
        least = round(at_1_mbit / saved, 2) if saved > 0 else None
        about = {"engine": engine, "settings_for_mbit": run["bandwidth_mbit"], "exchange": exchange, "nodes": nodes}
        records.append({**about, "least_mbit": least})
    return records


def runs_by_link_settings(study: Study, engine: str, runs: list[dict]) -> list[dict]:
    """For each of the engine's settings for links, the run with the narrowest link, on the most nodes of the first regime."""
    regime, most = next(iter(study.regimes)), max(study.nodes)
    widest = [run for run in runs if (run["engine"], run["regime"], run["nodes"]) == (engine, regime, most)]
    by_settings: dict[tuple, dict] = {}
    for run in sorted(widest, key=lambda run: run["bandwidth_mbit"] or UNLIMITED):
        by_settings.setdefault(tuple(study.engines[engine].overrides(most, run["bandwidth_mbit"])), run)
    return list(by_settings.values())
