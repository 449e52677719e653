"""Measures how much the nodes slow each other down, since they share one machine.

A node's share of a processor is a share of its time. Caches and memory are shared by all nodes, so that a node computes less
in its share when more nodes are busy. Hosts of a real cluster do not slow each other down in this way. A step of one node is
measured while all other nodes train too, each alone and without communication.
"""

from __future__ import annotations

from statistics import median

from lab.cluster.laboratory import Laboratory
from lab.cluster.settings import load_settings
from lab.experiments.study.cells import Load, start_endless
from lab.experiments.study.results import Results, ResultsFile
from lab.experiments.study.settings import Study

CONTENTION = ResultsFile("contention.jsonl", ("engine", "repetition"))


def measure_contention(study: Study) -> Results:
    """Measures the main engines in the first regime, on the largest number of nodes."""
    results = CONTENTION.read(study.results_folder)
    for engine in study.main_engines:
        missing = [n for n in range(study.repetitions) if not results.has(engine=engine, repetition=n)]
        if missing:
            _measure_engine(study, engine, missing, results)
    return results


def _measure_engine(study: Study, engine: str, repetitions: list[int], results: Results) -> None:
    nodes = max(study.nodes)
    cpus = next(iter(study.regimes.values())).cpus(nodes)
    settings = load_settings(None, ["name=study", *study.laboratory, f"nodes={nodes}", f"cpus={cpus}"])
    with Laboratory(settings) as laboratory:
        with laboratory.uncapped():
            load = Load(engine, workers=1, mbit=0.0)
            trainings = [start_endless(study, laboratory, load, "--conf", "spark.cores.max=1") for _ in range(nodes)]
            for training in trainings:
                training.pace(1.0)  # until the graphs are compiled
        for number in repetitions:
            training = trainings[number % nodes]
            pace = training.pace(study.seconds, training.seconds())
            about = {"engine": engine, "repetition": number, "nodes": nodes, "cpus": cpus}
            results.add({**about, **{name: pace[name] for name in ("steps", "seconds_a_step", "load")}})
        for training in trainings:
            training.end()


def summarize_contention(study: Study, runs: list[dict], lines: list[dict]) -> dict:
    """One node's step alone and under contention, and the speed-ups that follow from each.

    Args:
        study: The study.
        runs: The report's runs.
        lines: The results of `measure_contention`; without any, both lists of the summary are empty.

    Returns:
        `nodes`; `steps`, a record for each engine with the seconds of a step; `speedups`, a record for each engine and
        bandwidth with the speed-up on all nodes over the faster engine on one node.
    """
    regime, nodes = next(iter(study.regimes)), max(study.nodes)
    main_runs = [run for run in runs if run["regime"] == regime and run["engine"] in study.main_engines]
    paces: dict[str, list[float]] = {}
    for line in lines:
        paces.setdefault(line["engine"], []).append(line["seconds_a_step"])
    alone = {run["engine"]: run for run in main_runs if run["nodes"] == 1 and run["engine"] in paces}
    steps = [
        {
            "engine": engine, "alone": run["seconds_per_step"], "contended": round(median(paces[engine]), 4),
            "spread": [min(paces[engine]), max(paces[engine])],
        }
        for engine, run in alone.items()
    ]  # fmt: skip
    to_target = [
        alone[step["engine"]]["seconds_to_bleu"] * step["contended"] / step["alone"]
        for step in steps if alone[step["engine"]]["seconds_to_bleu"]
    ]  # fmt: skip
    speedups = [
        {
            "engine": run["engine"], "bandwidth_mbit": run["bandwidth_mbit"], "alone": run["speedup"],
            "contended": round(min(to_target) / run["seconds_to_bleu"], 3),
        }
        for run in main_runs if to_target and run["nodes"] == nodes and run["seconds_to_bleu"]
    ]  # fmt: skip
    return {"nodes": nodes, "steps": steps, "speedups": speedups}
