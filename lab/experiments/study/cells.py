"""Measures seconds a step, by engine, regime, number of nodes and bandwidth, in real trainings in the laboratory.

A laboratory is created for each number of nodes. A training in it is measured while the bandwidth of its links is changed.
The training starts with all of the machine's processors, which shortens the study by an hour. The time to start is reported
separately.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby, product

import psutil

from lab.cluster import cgroup
from lab.cluster.laboratory import Laboratory
from lab.cluster.observation import ObservedTraining
from lab.cluster.settings import load_settings
from lab.experiments.study.results import Results, ResultsFile
from lab.experiments.study.settings import Study

CELLS = ResultsFile("cells.jsonl", ("engine", "regime", "nodes", "bandwidth_mbit", "repetition"))
ENDLESS = ("train.epochs=1000", "recovery.checkpoint_every=0", "train.validation_bleu=false")
SETTLING_SECONDS = 5  # until packets that were queued at the previous rate have left


def measure_cells(study: Study) -> Results:
    """Measures all cells that have no result yet."""
    results = CELLS.read(study.results_folder)
    for regime, nodes in product(study.regimes, study.nodes):
        cells = [cell for engine in study.engines for cell in cells_of(study, engine, regime, nodes)]
        if missing := [cell for cell in cells if not results.has(**cell)]:
            _measure_in_laboratory(study, missing, results)
    return results


def cells_of(study: Study, engine: str, regime: str, nodes: int) -> list[dict]:
    """The cells of an engine in a regime on so many nodes: one for each bandwidth and repetition."""
    bandwidths = study.cells(engine).get((regime, nodes), [])
    about = {"engine": engine, "regime": regime, "nodes": nodes}
    return [
        {**about, "bandwidth_mbit": float(bandwidth), "repetition": number}
        for bandwidth, number in product(bandwidths, range(study.repetitions))
    ]


def grouped_by_training(study: Study, cells: list[dict]) -> list[list[dict]]:
    """Groups consecutive cells that one training can measure: they differ in bandwidth but not in overrides."""

    def settings(cell: dict) -> tuple[str, list[str]]:
        return cell["engine"], study.engines[cell["engine"]].overrides(cell["nodes"], cell["bandwidth_mbit"])

    return [list(group) for _, group in groupby(cells, settings)]


def _measure_in_laboratory(study: Study, cells: list[dict], results: Results) -> None:
    """Measures cells of one regime and number of nodes in one laboratory, one training after the other."""
    regime, nodes = cells[0]["regime"], cells[0]["nodes"]
    cpus = study.regimes[regime].cpus(nodes)
    threads = math.ceil(cpus)  # a single thread would leave a part of more than one processor unused
    overrides = [f"nodes={nodes}", f"cpus={cpus}", f"cores={threads}", "bandwidth_mbit=0"]
    settings = load_settings(None, ["name=study", *study.laboratory, *overrides])
    # Links are measured at each bandwidth instead of when the laboratory starts.
    with Laboratory(replace(settings, verify_seconds=0)) as laboratory:
        bandwidths = {cell["bandwidth_mbit"]: None for cell in cells}
        links = measured_links(laboratory, bandwidths, settings.verify_seconds)
        for group in grouped_by_training(study, cells):
            laboratory.set_bandwidth([0.0] * nodes)
            with laboratory.uncapped():
                load = Load(group[0]["engine"], nodes, group[0]["bandwidth_mbit"])
                training = start_endless(study, laboratory, load, "--conf", f"spark.task.cpus={threads}")
                training.pace(1.0)  # until the graphs are compiled
            start_seconds = round(training.marks[0].received - training.marks[0].seconds, 1)
            for cell in group:
                laboratory.set_bandwidth([cell["bandwidth_mbit"]] * nodes)
                pace = measure_pace(study, laboratory, training)
                about = {"cpus": cpus, "start_seconds": start_seconds, "links": links[cell["bandwidth_mbit"]]}
                results.add({**cell, **about, **pace})
            training.end()


@dataclass(frozen=True)
class Load:
    """What a training does: an engine's settings for so many workers on links of so many Mbit/s."""

    engine: str
    workers: int
    mbit: float


def start_endless(study: Study, laboratory: Laboratory, load: Load, *flags: str) -> ObservedTraining:
    """Starts a training that goes on until it is ended.

    Args:
        study: The study.
        laboratory: A running laboratory.
        load: The engine, and the workers and the bandwidth that choose its overrides.
        flags: Options of spark-submit.
    """
    engine = study.engines[load.engine]
    overrides = [*study.always, *engine.overrides(load.workers, load.mbit), f"train.workers={load.workers}", *ENDLESS]
    command = [*flags, "jobs/train.py", "--config", study.config, *overrides]
    return ObservedTraining(laboratory, command, study.runs_folder / "cells", f"cell-{os.urandom(4).hex()}")


def measured_links(laboratory: Laboratory, bandwidths: Iterable[float], seconds: int) -> dict[float, dict]:
    """Measures all links at each bandwidth. Returns the rates of each host's link by bandwidth."""
    links = {}
    for bandwidth in bandwidths:
        laboratory.set_bandwidth([bandwidth] * len(laboratory.hosts.nodes))
        links[bandwidth] = laboratory.verify(seconds)
    return links


def measure_pace(study: Study, laboratory: Laboratory, training: ObservedTraining) -> dict:
    """Measures the training's pace from now on, and the processors and memory of the nodes meanwhile, on average."""
    groups = [node.namespace for node in laboratory.hosts.nodes]
    began, before = training.seconds(), [usage_of(group) for group in groups]
    pace = training.pace(study.seconds, began + SETTLING_SECONDS)
    seconds, after = training.seconds() - began, [usage_of(group) for group in groups]
    cores = [(now - then) / seconds for (now, _), (then, _) in zip(after, before, strict=True)]
    return {"cpu_cores": _mean(cores), "memory_mb": _mean([memory for _, memory in after]), **pace}


def usage_of(group: str) -> tuple[float, float]:
    """Processor seconds so far, and resident memory in MB, of the processes in a node's cgroup."""
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


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 3)
