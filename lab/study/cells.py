"""Seconds a step, by engine, regime, number of nodes and bandwidth: real trainings in the laboratory.

A training is started once for each number of nodes, and watched while its links are changed from one bandwidth to the next.
Its start is what it is with the processors that the nodes have, and is reported apart.
"""

from __future__ import annotations

import os
from itertools import product

import psutil

from lab import cgroup
from lab.laboratory import Laboratory
from lab.observe import Observed
from lab.settings import load
from lab.study.results import Results
from lab.study.settings import Study

KEYS = ("engine", "regime", "nodes", "bandwidth_mbit", "repetition")
SETTLING_SECONDS = 5  # until packets that were queued under the rate before are gone


def measure_cells(study: Study) -> Results:
    results = Results(study.place / "cells.jsonl", KEYS)
    for nodes, regime, engine in product(study.nodes, study.regimes, study.engines):
        # One node sends nothing, so one bandwidth is as good as another.
        bandwidths = study.bandwidths_mbit if nodes > 1 else [0.0]
        cells = [
            {
                "engine": engine,
                "regime": regime,
                "nodes": nodes,
                "bandwidth_mbit": float(bandwidth),
                "repetition": number,
            }
            for bandwidth, number in product(bandwidths, range(study.repetitions))
        ]
        missing = [cell for cell in cells if not results.has(**cell)]
        if missing:
            measure(study, missing, results)
    return results


def measure(study: Study, cells: list[dict], results: Results) -> None:
    """One training in one laboratory, for cells that differ in their bandwidth alone."""
    nodes, cpus = cells[0]["nodes"], study.regimes[cells[0]["regime"]].cpus(cells[0]["nodes"])
    settings = load(None, ["name=study", *study.laboratory, f"nodes={nodes}", f"cpus={cpus}", "bandwidth_mbit=0"])
    with Laboratory(settings) as laboratory:
        links = {}
        for bandwidth in dict.fromkeys(cell["bandwidth_mbit"] for cell in cells):
            laboratory.set_bandwidth([bandwidth] * nodes)
            links[bandwidth] = laboratory.verify(settings.verify_seconds)
        laboratory.set_bandwidth([0.0] * nodes)
        overrides = [*study.always, *study.engines[cells[0]["engine"]].overrides(nodes), f"train.workers={nodes}"]
        command = [
            "jobs/train.py",
            "--config",
            study.config,
            *overrides,
            "train.epochs=1000",
            "train.checkpoint_every=0",
        ]
        training = Observed(laboratory, command, study.place / "cells", f"cell-{os.urandom(4).hex()}")
        training.pace(1.0)  # the graphs are compiled
        start = training.marks[0].heard
        for cell in cells:
            laboratory.set_bandwidth([cell["bandwidth_mbit"]] * nodes)
            before = [used(node.namespace) for node in laboratory.nodes]
            began = training.seconds()
            found = training.pace(study.seconds, began + SETTLING_SECONDS)
            seconds = training.seconds() - began
            after = [used(node.namespace) for node in laboratory.nodes]
            cores = [(now[0] - then[0]) / seconds for now, then in zip(after, before, strict=True)]
            load_of_nodes = {"cpu_cores": mean(cores), "memory_mb": mean([memory for _, memory in after])}
            results.add(
                {
                    **cell,
                    "cpus": cpus,
                    "start_seconds": start,
                    **load_of_nodes,
                    **found,
                    "links": links[cell["bandwidth_mbit"]],
                }
            )
        training.end()


def used(group: str) -> tuple[float, float]:
    """Processor seconds so far, and resident MB, of the processes of a node."""
    seconds, memory = 0.0, 0.0
    for pid in cgroup.pids(cgroup.find_root().path / group):
        try:
            process = psutil.Process(pid)
            times = process.cpu_times()
            seconds += times.user + times.system
            memory += process.memory_info().rss / 1e6
        except psutil.NoSuchProcess:
            continue
    return seconds, memory


def mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 3)
