"""Joins what the study measured: seconds to the target, speed-ups, where a step's time goes, predictions; docs/scaling.json."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, median

from lab.experiments.study.cost import Cost
from lab.experiments.study.crowd import compared_in_company
from lab.experiments.study.model import about_fit, fit_engine, least_links, predict, work_of
from lab.experiments.study.parts import parts_of_a_step
from lab.experiments.study.settings import Study


def write_report(
    study: Study, trajectories: list[dict], cells: list[dict], crowd: list[dict], faults: list[dict]
) -> dict:
    """Writes scaling.json into the folder of the docs, and returns what is in it."""
    target = target_bleu(study, trajectories)
    runs = [join(study, group, trajectories, target) for group in grouped(cells)]
    fits = {engine: fit_engine(study, runs, engine) for engine in study.main_engines}
    for run in runs:
        if run["engine"] in fits:
            run |= compared(study, run, runs, fits[run["engine"]][0])
    company = compared_in_company(study, runs, crowd)
    report = {
        "target_bleu4": round(target, 4), "margin": study.margin, "seeds": study.seeds, "reference": study.reference,
        "config": study.config, "always": study.always,
        "engines": {name: engine.__dict__ for name, engine in study.engines.items()},
        "regimes": {name: regime.__dict__ for name, regime in study.regimes.items()},
        "variation_nodes": study.variation_nodes, "variation_bandwidth_mbit": study.variation_bandwidth_mbit,
        "seconds": study.seconds, "runs": runs, "trajectories": trajectories, "crowd": company,
        "parts_of_a_step": parts_of_a_step(study, runs, company["steps"]),
        "cost_model": {name: about_fit(*found) for name, found in fits.items()},
        "predictions": [line for name in study.main_engines for line in predict(study, name, runs, fits[name][0])],
        "least_links": [line for name in study.main_engines for line in least_links(study, name, runs, fits[name][0])],
        "fault_training": study.faults.__dict__, "faults": faults,
    }  # fmt: skip
    text = json.dumps(report, indent=1) + "\n"
    (Path(study.docs) / "scaling.json").write_text(text)
    return json.loads(text)


def target_bleu(study: Study, trajectories: list[dict]) -> float:
    """The best epoch's validation BLEU-4 of the reference engine on one node, the mean of its seeds, less the margin."""
    return max(mean_curve(curves(trajectories, study.reference, 1, 0.0))) - study.margin


def curves(trajectories: list[dict], engine: str, nodes: int, mbit: float) -> list[list[float]]:
    """BLEU-4 after each epoch, of every seed."""
    wanted = (engine, nodes, mbit)
    return [line["bleu4"] for line in trajectories if (line["engine"], line["nodes"], line["bandwidth_mbit"]) == wanted]


def mean_curve(seeds: list[list[float]]) -> list[float]:
    """One seed's greedy BLEU-4 goes up and down by 0.01 from epoch to epoch; the mean of the seeds does less so."""
    return [mean(values) for values in zip(*seeds, strict=True)]


def grouped(cells: list[dict]) -> list[list[dict]]:
    """The repetitions of each cell together."""
    groups: dict[tuple, list[dict]] = {}
    for cell in cells:
        groups.setdefault((cell["engine"], cell["regime"], cell["nodes"], cell["bandwidth_mbit"]), []).append(cell)
    return list(groups.values())


def join(study: Study, cell: list[dict], trajectories: list[dict], target: float) -> dict:
    """A cell with the epochs that its engine needs at so many nodes: the seeds' mean, and each seed; None: never."""
    first, nodes = cell[0], cell[0]["nodes"]
    path = study.engines[first["engine"]].path(nodes, first["bandwidth_mbit"])
    seeds = curves(trajectories, first["engine"], *path)
    epochs = epochs_to(mean_curve(seeds), target)
    paces = [line["seconds_a_step"] for line in cell]
    an_epoch = median(paces) * first["steps_an_epoch"]
    sent = median(max(line["sent_mb_a_step"].values()) for line in cell) * first["steps_an_epoch"] * 1e6
    rates = [link for line in cell for name, link in line["links"].items() if name != "head"]
    return {
        "engine": first["engine"], "regime": first["regime"], "nodes": nodes, "bandwidth_mbit": first["bandwidth_mbit"],
        "cpus": first["cpus"], "steps_per_epoch": first["steps_an_epoch"], "repetitions": len(cell),
        "seconds_per_step": round(median(paces), 4), "seconds_per_step_spread": [min(paces), max(paces)],
        "seconds_per_epoch": round(an_epoch, 1), "bytes_per_epoch": round(sent),
        "epochs_to_bleu": epochs, "epochs_to_bleu_by_seed": [epochs_to(seed, target) for seed in seeds],
        "best_bleu4_by_seed": [round(max(seed), 4) for seed in seeds],
        "seconds_to_bleu": epochs and round(epochs * an_epoch, 1),
        "start_seconds": median(line["start_seconds"] for line in cell),
        "cpu_cores": round(mean(line["cpu_cores"] for line in cell), 3),
        "memory_mb": round(mean(line["memory_mb"] for line in cell)),
        "measured_mbit": [min(link["measured_up_mbit"] for link in rates), min(link["measured_down_mbit"] for link in rates)],
        "load": max(line["load"] for line in cell),
    }  # fmt: skip


def epochs_to(bleu: list[float], target: float) -> int | None:
    return next((number for number, value in enumerate(bleu, 1) if value >= target), None)


def compared(study: Study, run: dict, runs: list[dict], cost: Cost) -> dict:
    """Speed-up over the faster one-node engine of the same regime, and the share of a step that is communication."""
    alone = [
        other for other in runs
        if other["nodes"] == 1 and other["regime"] == run["regime"] and other["seconds_to_bleu"]
    ]  # fmt: skip
    speedup = spread = None
    if alone and run["seconds_to_bleu"]:
        best = min(alone, key=lambda other: other["seconds_to_bleu"])
        speedup = best["seconds_to_bleu"] / run["seconds_to_bleu"]
        (least, most), (quickest, slowest) = relative_paces(best), relative_paces(run)
        spread = [round(speedup * least / slowest, 2), round(speedup * most / quickest, 2)]
    share = 1 - cost.compute(work_of(study, run), run["nodes"], run["cpus"]) / run["seconds_per_step"]
    return {
        "speedup": speedup and round(speedup, 3),
        "speedup_spread": spread,  # of the slowest repetition against one node's quickest, and the other way round
        "efficiency": speedup and round(speedup / run["nodes"], 3),
        "communication_share": round(max(0.0, share), 3) if run["nodes"] > 1 else 0.0,
    }


def relative_paces(run: dict) -> list[float]:
    """The quickest and the slowest repetition's seconds a step, of the median's."""
    return [seconds / run["seconds_per_step"] for seconds in run["seconds_per_step_spread"]]
