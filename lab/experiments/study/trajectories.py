"""Measures BLEU after each epoch, by engine, number of nodes and seed, in ordinary trainings outside the laboratory.

What a training learns depends on its number of workers and its settings, not on its links. Synchronous training learns the
same on any number of nodes; local SGD learns something else on each. Bandwidth matters only if an engine has settings of its
own for it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lab.experiments.runs import read_history, run_id
from lab.experiments.study.results import Results, ResultsFile
from lab.experiments.study.settings import Study

TRAJECTORIES = ResultsFile("trajectories.jsonl", ("engine", "nodes", "bandwidth_mbit", "seed"))
CORES = 2  # of this machine, for a single worker


def measure_trajectories(study: Study) -> Results:
    """Trains every trajectory that has no result yet."""
    results = TRAJECTORIES.read(study.results_folder)
    for seed in study.seeds:
        for engine in study.main_engines:
            for nodes, mbit in study.paths(engine):
                about = {"engine": engine, "nodes": nodes, "bandwidth_mbit": mbit, "seed": seed}
                if not results.has(**about):
                    results.add({**about, **train(study, engine, nodes, mbit, seed)})
    return results


def train(study: Study, engine: str, nodes: int, mbit: float, seed: int) -> dict:
    """Trains once and returns the overrides and the scores of each epoch. Raises RuntimeError if the training fails."""
    run = run_id("study", engine, nodes, f"{mbit:g}", seed)
    threads = CORES if nodes == 1 else 1
    overrides = [*study.always, *study.engines[engine].overrides(nodes, mbit)]
    runs = study.runs_folder / "runs"
    command = [
        str(Path(sys.executable).parent / "spark-submit"),
        *("--master", f"local[{threads * nodes}]", "--conf", f"spark.task.cpus={threads}"),
        *("jobs/train.py", "--config", study.config, *overrides),
        *(f"train.workers={nodes}", f"train.seed={seed}", f"run.id={run}", f"paths.runs={runs}"),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"the training {run} ended with exit code {done.returncode}")
    epochs = read_history(runs / run)
    scores = {name: [epoch[name] for epoch in epochs] for name in ("bleu4", "val_loss")}
    return {"overrides": overrides, **scores}
