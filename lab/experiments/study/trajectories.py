"""BLEU after each epoch, by engine, number of nodes and seed: ordinary trainings on this machine, outside the laboratory.

What a gang learns depends on its size and settings, not on its links: an every-step engine follows one path whatever the
number of nodes, an averaging one has a path for each. Only where an engine has settings of its own for a bandwidth does that
make another path.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lab.experiments.run_plot import read_history
from lab.experiments.study.results import Results
from lab.experiments.study.settings import Study

KEYS = ("engine", "nodes", "bandwidth_mbit", "seed")
CORES = 2  # of this machine, for one worker alone


def measure_trajectories(study: Study) -> Results:
    results = Results(study.measured / "trajectories.jsonl", KEYS)
    for seed in study.seeds:
        for name in study.main_engines:
            for nodes, mbit in study.paths(name):
                about = {"engine": name, "nodes": nodes, "bandwidth_mbit": mbit, "seed": seed}
                if not results.has(**about):
                    results.add({**about, **train(study, name, nodes, mbit, seed)})
    return results


def train(study: Study, name: str, nodes: int, mbit: float, seed: int) -> dict:
    """The overrides and the scores of each epoch. Raises RuntimeError where the training fails."""
    run = f"study-{name}-{nodes}-{mbit:g}-{seed}"
    threads = CORES if nodes == 1 else 1
    master = ("--master", f"local[{threads * nodes}]", "--conf", f"spark.task.cpus={threads}")
    own = [f"train.workers={nodes}", f"train.seed={seed}", f"run.id={run}", f"paths.runs={study.place / 'runs'}"]
    overrides = [*study.always, *study.engines[name].overrides(nodes, mbit)]
    submit = [str(Path(sys.executable).parent / "spark-submit"), *master]
    done = subprocess.run(
        [*submit, "jobs/train.py", "--config", study.config, *overrides, *own], stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise RuntimeError(f"the training {run} ended with exit code {done.returncode}")
    lines = read_history(study.place / "runs" / run)
    return {"overrides": overrides, "bleu4": [x["bleu4"] for x in lines], "val_loss": [x["val_loss"] for x in lines]}
