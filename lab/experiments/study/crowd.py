"""What it costs a node that the others of the laboratory share its machine: one node's step beside others that train alone.

A share of a processor is a share of its time. Caches and memory are everybody's, so that a node computes less in its share
the more nodes are at work, which hosts of a real cluster do not do to each other. A step of one node is measured here while
all the other nodes train too, each for itself and with nothing to exchange.
"""

from __future__ import annotations

from statistics import median

from lab.cluster.laboratory import Laboratory
from lab.cluster.settings import load
from lab.experiments.study.cells import start_endless
from lab.experiments.study.results import Results
from lab.experiments.study.settings import Study

KEYS = ("engine", "repetition")


def measure_crowd(study: Study) -> Results:
    """For the engines that are compared, in the first regime, with as many nodes as the study has at most."""
    results = Results(study.measured / "crowd.jsonl", KEYS)
    for engine in study.main_engines:
        missing = [n for n in range(study.repetitions) if not results.has(engine=engine, repetition=n)]
        if missing:
            measure(study, engine, missing, results)
    return results


def measure(study: Study, engine: str, repetitions: list[int], results: Results) -> None:
    nodes = max(study.nodes)
    cpus = next(iter(study.regimes.values())).cpus(nodes)
    settings = load(None, ["name=study", *study.laboratory, f"nodes={nodes}", f"cpus={cpus}"])
    with Laboratory(settings) as laboratory:
        with laboratory.uncapped():
            trainings = [
                start_endless(study, laboratory, engine, 1, 0.0, "--conf", "spark.cores.max=1") for _ in range(nodes)
            ]
            for training in trainings:
                training.pace(1.0)  # until the graphs are compiled
        for number in repetitions:
            training = trainings[number % nodes]
            pace = training.pace(study.seconds, training.seconds())
            about = {"engine": engine, "repetition": number, "nodes": nodes, "cpus": cpus}
            results.add({**about, **{key: pace[key] for key in ("steps", "seconds_a_step", "load")}})
        for training in trainings:
            training.end()


def compared_in_company(study: Study, runs: list[dict], lines: list[dict]) -> dict:
    """The steps of one node alone and in company, and the speed-ups on all nodes against the faster engine in company.

    runs: those of the report. Without lines, both lists are empty.
    """
    regime, nodes = next(iter(study.regimes)), max(study.nodes)
    own = [run for run in runs if run["regime"] == regime and run["engine"] in study.main_engines]
    paces = {
        engine: [line["seconds_a_step"] for line in lines if line["engine"] == engine] for engine in study.main_engines
    }
    alone = {run["engine"]: run for run in own if run["nodes"] == 1 and paces[run["engine"]]}
    steps = [
        {
            "engine": engine, "alone": run["seconds_per_step"], "in_company": round(median(paces[engine]), 4),
            "spread": [min(paces[engine]), max(paces[engine])],
        }
        for engine, run in alone.items()
    ]  # fmt: skip
    to_target = [
        alone[step["engine"]]["seconds_to_bleu"] * step["in_company"] / step["alone"]
        for step in steps if alone[step["engine"]]["seconds_to_bleu"]
    ]  # fmt: skip
    speedups = [
        {
            "engine": run["engine"], "bandwidth_mbit": run["bandwidth_mbit"], "alone": run["speedup"],
            "in_company": round(min(to_target) / run["seconds_to_bleu"], 3),
        }
        for run in own if to_target and run["nodes"] == nodes and run["seconds_to_bleu"]
    ]  # fmt: skip
    return {"nodes": nodes, "steps": steps, "speedups": speedups}
