"""Joins the measurements into docs/scaling.json: seconds to the target BLEU, speed-ups, parts of a step and predictions."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median

from lab.experiments.output import write_json
from lab.experiments.study.contention import summarize_contention
from lab.experiments.study.cost import Cost
from lab.experiments.study.predictions import fit_engine, least_links, predict, summarize_fit, work_of
from lab.experiments.study.settings import Study
from lab.experiments.study.step_parts import parts_of_steps


@dataclass(frozen=True)
class Measurements:
    """The results of the study's parts, as their files have them."""

    trajectories: list[dict]
    cells: list[dict]
    contention: list[dict]
    faults: list[dict]


def write_report(study: Study, measurements: Measurements) -> dict:
    """Writes scaling.json into the folder of the docs, and returns its content."""
    trajectories = measurements.trajectories
    target = target_bleu(study, trajectories)
    runs = [run_of_cell(study, group, trajectories, target) for group in repetitions_of(measurements.cells)]
    fits = {engine: fit_engine(study, runs, engine) for engine in study.main_engines}
    for run in runs:
        if run["engine"] in fits:
            run |= compare(study, run, runs, fits[run["engine"]][0])
    contention = summarize_contention(study, runs, measurements.contention)
    report = {
        **_about(study, target), "runs": runs, "trajectories": trajectories, "contention": contention,
        "parts_of_a_step": parts_of_steps(study, runs, contention["steps"]),
        "cost_model": {name: summarize_fit(*fitted) for name, fitted in fits.items()},
        "predictions": [line for name in study.main_engines for line in predict(study, name, runs, fits[name][0])],
        "least_links": [line for name in study.main_engines for line in least_links(study, name, runs, fits[name][0])],
        "fault_training": asdict(study.faults), "faults": measurements.faults,
    }  # fmt: skip
    path = Path(study.docs) / "scaling.json"
    write_json(report, path)
    return json.loads(path.read_text())


def _about(study: Study, target: float) -> dict:
    return {
        "target_bleu4": round(target, 4), "margin": study.margin, "seeds": study.seeds, "reference": study.reference,
        "config": study.config, "always": study.always,
        "engines": {name: asdict(engine) for name, engine in study.engines.items()},
        "regimes": {name: asdict(regime) for name, regime in study.regimes.items()},
        "variation_nodes": study.variation_nodes, "variation_bandwidth_mbit": study.variation_bandwidth_mbit,
        "seconds": study.seconds,
    }  # fmt: skip


def target_bleu(study: Study, trajectories: list[dict]) -> float:
    """Validation BLEU-4 of the reference engine's best epoch on one node, the mean of its seeds, minus the margin."""
    return max(mean_curve(curves(trajectories, study.reference, 1, 0.0))) - study.margin


def curves(trajectories: list[dict], engine: str, nodes: int, mbit: float) -> list[list[float]]:
    """BLEU-4 after each epoch, of every seed."""
    place = (engine, nodes, mbit)
    return [line["bleu4"] for line in trajectories if (line["engine"], line["nodes"], line["bandwidth_mbit"]) == place]


def mean_curve(seeds: list[list[float]]) -> list[float]:
    """The mean of the seeds, which varies less from epoch to epoch than the 0.01 of one seed's greedy BLEU-4."""
    return [mean(values) for values in zip(*seeds, strict=True)]


def repetitions_of(cells: list[dict]) -> list[list[dict]]:
    """Groups the repetitions of each cell."""
    groups: dict[tuple, list[dict]] = {}
    for cell in cells:
        groups.setdefault((cell["engine"], cell["regime"], cell["nodes"], cell["bandwidth_mbit"]), []).append(cell)
    return list(groups.values())


def run_of_cell(study: Study, repetitions: list[dict], trajectories: list[dict], target: float) -> dict:
    """A cell's figures, with the epochs that its trajectory needs to reach the target.

    Args:
        study: The study.
        repetitions: The measurements of the cell.
        trajectories: All trajectories.
        target: The BLEU-4 to reach.

    Returns:
        The run. Epochs are given for the mean of the seeds and for each seed; None if the target is never reached.
    """
    first, nodes, steps = repetitions[0], repetitions[0]["nodes"], repetitions[0]["steps_an_epoch"]
    path = study.engines[first["engine"]].path(nodes, first["bandwidth_mbit"])
    seeds = curves(trajectories, first["engine"], *path)
    epochs = epochs_to(mean_curve(seeds), target)
    paces = [line["seconds_a_step"] for line in repetitions]
    an_epoch = median(paces) * steps
    sent = median(max(line["sent_mb_a_step"].values()) for line in repetitions) * steps * 1e6
    return {
        "engine": first["engine"], "regime": first["regime"], "nodes": nodes, "bandwidth_mbit": first["bandwidth_mbit"],
        "cpus": first["cpus"], "steps_per_epoch": steps, "repetitions": len(repetitions),
        "seconds_per_step": round(median(paces), 4), "seconds_per_step_spread": [min(paces), max(paces)],
        "seconds_per_epoch": round(an_epoch, 1), "bytes_per_epoch": round(sent),
        "epochs_to_bleu": epochs, "epochs_to_bleu_by_seed": [epochs_to(seed, target) for seed in seeds],
        "best_bleu4_by_seed": [round(max(seed), 4) for seed in seeds],
        "seconds_to_bleu": epochs and round(epochs * an_epoch, 1),
        **_machine_figures(repetitions),
    }  # fmt: skip


def _machine_figures(repetitions: list[dict]) -> dict:
    """Start, processors, memory, the slowest measured link of a node, and the machine's largest load."""
    links = [link for line in repetitions for name, link in line["links"].items() if name != "head"]
    return {
        "start_seconds": median(line["start_seconds"] for line in repetitions),
        "cpu_cores": round(mean(line["cpu_cores"] for line in repetitions), 3),
        "memory_mb": round(mean(line["memory_mb"] for line in repetitions)),
        "measured_mbit": [min(link[f"measured_{way}_mbit"] for link in links) for way in ("up", "down")],
        "load": max(line["load"] for line in repetitions),
    }


def epochs_to(bleu: list[float], target: float) -> int | None:
    """The first epoch, from 1, that reaches the target; None if none does."""
    return next((number for number, value in enumerate(bleu, 1) if value >= target), None)


def compare(study: Study, run: dict, runs: list[dict], cost: Cost) -> dict:
    """A run's speed-up over the fastest engine on one node of the same regime, and its share of communication.

    The speed-up's spread compares the run's slowest repetition with one node's fastest, and the other way round.
    """
    alone = [
        other for other in runs
        if other["nodes"] == 1 and other["regime"] == run["regime"] and other["seconds_to_bleu"]
    ]  # fmt: skip
    speedup = spread = None
    if alone and run["seconds_to_bleu"]:
        best = min(alone, key=lambda other: other["seconds_to_bleu"])
        speedup = best["seconds_to_bleu"] / run["seconds_to_bleu"]
        (best_fastest, best_slowest), (fastest, slowest) = relative_paces(best), relative_paces(run)
        spread = [round(speedup * best_fastest / slowest, 2), round(speedup * best_slowest / fastest, 2)]
    share = 1 - cost.compute(work_of(study, run), run["nodes"], run["cpus"]) / run["seconds_per_step"]
    return {
        "speedup": speedup and round(speedup, 3),
        "speedup_spread": spread,
        "efficiency": speedup and round(speedup / run["nodes"], 3),
        "communication_share": round(max(0.0, share), 3) if run["nodes"] > 1 else 0.0,
    }


def relative_paces(run: dict) -> list[float]:
    """Seconds a step of the fastest and the slowest repetition, relative to the median."""
    return [seconds / run["seconds_per_step"] for seconds in run["seconds_per_step_spread"]]
