"""BLEU after each epoch, by engine, number of nodes and seed: ordinary trainings on this machine, outside the laboratory.

What a gang learns depends on its size and settings, not on its links: an every-step engine follows one path whatever the
number of nodes, an averaging one has a path for each.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path

from lab.curves import read_history
from lab.study.results import Results
from lab.study.settings import Study

KEYS = ("engine", "nodes", "seed")
CORES = 2  # of this machine, for one worker alone


def measure_trajectories(study: Study) -> Results:
    results = Results(study.measured / "trajectories.jsonl", KEYS)
    for seed, (name, engine), nodes in product(study.seeds, study.main_engines.items(), study.nodes):
        if engine.trajectory_nodes(nodes) != nodes or results.has(engine=name, nodes=nodes, seed=seed):
            continue
        results.add({"engine": name, "nodes": nodes, "seed": seed, **train(study, name, nodes, seed)})
    return results


def train(study: Study, name: str, nodes: int, seed: int) -> dict:
    """The scores of each epoch, and the steps that an epoch has. Raises RuntimeError where the training fails."""
    run = f"study-{name}-{nodes}-{seed}"
    threads = CORES if nodes == 1 else 1
    master = ("--master", f"local[{threads * nodes}]", "--conf", f"spark.task.cpus={threads}")
    own = [f"train.workers={nodes}", f"train.seed={seed}", f"run.id={run}", f"paths.runs={study.place / 'runs'}"]
    overrides = [*study.always, *study.engines[name].overrides(nodes), *own]
    submit = [str(Path(sys.executable).parent / "spark-submit"), *master]
    done = subprocess.run(
        [*submit, "jobs/train.py", "--config", study.config, *overrides], stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise RuntimeError(f"the training {run} ended with exit code {done.returncode}")
    lines = read_history(study.place / "runs" / run)
    return {"overrides": overrides, "bleu4": [x["bleu4"] for x in lines], "val_loss": [x["val_loss"] for x in lines]}
