"""Seconds a step, by engine, regime, number of nodes and bandwidth: real trainings in the laboratory.

A laboratory is made for each number of nodes, and a training in it is watched while its links are changed from one bandwidth to
the next.
It starts with all of the machine's processors, which shortens the study by an hour; its start is reported apart.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from itertools import groupby, product

import psutil

from lab.cluster import cgroup
from lab.cluster.laboratory import Laboratory
from lab.cluster.observe import Observed
from lab.cluster.settings import load
from lab.experiments.study.results import Results
from lab.experiments.study.settings import Study

KEYS = ("engine", "regime", "nodes", "bandwidth_mbit", "repetition")
ENDLESS = ("train.epochs=1000", "recovery.checkpoint_every=0", "train.validation_bleu=false")
SETTLING_SECONDS = 5  # until packets that were queued under the rate before are gone


def measure_cells(study: Study) -> Results:
    results = Results(study.measured / "cells.jsonl", KEYS)
    for regime, nodes in product(study.regimes, study.nodes):
        cells = [cell for engine in study.engines for cell in cells_of(study, engine, regime, nodes)]
        if missing := [cell for cell in cells if not results.has(**cell)]:
            measure(study, missing, results)
    return results


def cells_of(study: Study, engine: str, regime: str, nodes: int) -> list[dict]:
    bandwidths = study.cells(engine).get((regime, nodes), [])
    about = {"engine": engine, "regime": regime, "nodes": nodes}
    return [
        {**about, "bandwidth_mbit": float(bandwidth), "repetition": number}
        for bandwidth, number in product(bandwidths, range(study.repetitions))
    ]


def of_one_training(study: Study, cells: list[dict]) -> list[list[dict]]:
    """Cells parted where another training has to be started: those of one differ in their bandwidth alone."""

    def settings(cell: dict) -> tuple[str, list[str]]:
        return cell["engine"], study.engines[cell["engine"]].overrides(cell["nodes"], cell["bandwidth_mbit"])

    return [list(same) for _, same in groupby(cells, settings)]


def measure(study: Study, cells: list[dict], results: Results) -> None:
    """The trainings of one laboratory, one after the other: of a regime and a number of nodes."""
    regime, nodes = cells[0]["regime"], cells[0]["nodes"]
    cpus = study.regimes[regime].cpus(nodes)
    threads = math.ceil(cpus)  # one would leave a part of more than one processor unused
    flags = ("--conf", f"spark.task.cpus={threads}")
    own = [f"nodes={nodes}", f"cpus={cpus}", f"cores={threads}", "bandwidth_mbit=0"]
    settings = load(None, ["name=study", *study.laboratory, *own])
    verify_seconds, settings.verify_seconds = settings.verify_seconds, 0  # not at the start, but at each bandwidth
    with Laboratory(settings) as laboratory:
        links = verified(laboratory, {cell["bandwidth_mbit"]: None for cell in cells}, verify_seconds)
        for same in of_one_training(study, cells):
            laboratory.set_bandwidth([0.0] * nodes)
            with laboratory.uncapped():
                engine, mbit = same[0]["engine"], same[0]["bandwidth_mbit"]
                training = start_endless(study, laboratory, engine, nodes, mbit, *flags)
                training.pace(1.0)  # until the graphs are compiled
            about = {"cpus": cpus, "start_seconds": round(training.marks[0].heard - training.marks[0].seconds, 1)}
            for cell in same:
                laboratory.set_bandwidth([cell["bandwidth_mbit"]] * nodes)
                pace = watched(study, laboratory, training)
                results.add({**cell, **about, **pace, "links": links[cell["bandwidth_mbit"]]})
            training.end()


def start_endless(
    study: Study, laboratory: Laboratory, engine: str, workers: int, mbit: float, *flags: str
) -> Observed:
    """A training of an engine, as for links of so many Mbit/s, that goes on until it is ended. flags: of spark-submit."""
    overrides = [*study.always, *study.engines[engine].overrides(workers, mbit), f"train.workers={workers}", *ENDLESS]
    command = [*flags, "jobs/train.py", "--config", study.config, *overrides]
    return Observed(laboratory, command, study.place / "cells", f"cell-{os.urandom(4).hex()}")


def verified(laboratory: Laboratory, bandwidths: Iterable[float], seconds: int) -> dict[float, dict]:
    """The rates that the links have at each bandwidth."""
    found = {}
    for bandwidth in bandwidths:
        laboratory.set_bandwidth([bandwidth] * len(laboratory.nodes))
        found[bandwidth] = laboratory.verify(seconds)
    return found


def watched(study: Study, laboratory: Laboratory, training: Observed) -> dict:
    """The training's pace from now on, and the means of what the nodes use of their processors and memory meanwhile."""
    groups = [node.namespace for node in laboratory.nodes]
    began, before = training.seconds(), [used(group) for group in groups]
    pace = training.pace(study.seconds, began + SETTLING_SECONDS)
    seconds, after = training.seconds() - began, [used(group) for group in groups]
    cores = [(now - then) / seconds for (now, _), (then, _) in zip(after, before, strict=True)]
    return {"cpu_cores": mean(cores), "memory_mb": mean([memory for _, memory in after]), **pace}


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
