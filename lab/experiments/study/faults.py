"""What faults cost: a cut link, a lost node, a slow link and a slow processor, each against the same training undisturbed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from lab.cluster import cgroup
from lab.cluster.laboratory import Laboratory
from lab.cluster.observe import Observed, losses
from lab.cluster.processes import end_all
from lab.cluster.settings import load
from lab.experiments.study.results import Results
from lab.experiments.study.settings import Study
from udfs.errors import InputError

KEYS = ("fault",)
EPOCHS = 3


def measure_faults(study: Study) -> Results:
    """Each fault begins when the second epoch has begun, at the last node."""
    if unknown := [name for name in study.faults.names if name not in FAULTS]:
        raise InputError(
            f"faults.names: found {', '.join(unknown)}, expected any of: {', '.join(FAULTS)}; change the study"
        )
    results = Results(study.measured / "faults.jsonl", KEYS)
    quiet = next((line for line in results.lines if line["fault"] == "none"), None)
    for name, act in FAULTS.items():
        if name in (study.faults.names or FAULTS) and not results.has(fault=name):
            found = _train(study, name, act)
            quiet = quiet or found
            found["seconds_lost"] = round(after(found) - after(quiet), 1)
            found["same_losses"] = losses(found) == losses(quiet)
            results.add({"fault": name, **found})
    return results


def _train(study: Study, name: str, act: Callable) -> dict:
    faults = study.faults
    regime = study.regimes[faults.regime]
    own = [f"nodes={faults.nodes}", f"cpus={regime.cpus(faults.nodes)}", f"bandwidth_mbit={faults.bandwidth_mbit}"]
    with Laboratory(load(None, ["name=study", *study.laboratory, *own])) as laboratory:
        overrides = [*study.always, *study.engines[faults.engine].overrides(faults.nodes, faults.bandwidth_mbit)]
        gang = [f"train.workers={faults.nodes}", f"train.epochs={EPOCHS}", *faults.always]
        command = ["jobs/train.py", "--config", study.config, *overrides, *gang]
        training = Observed(laboratory, command, study.place / "faults", f"fault-{os.urandom(4).hex()}")
        training.wait_until(lambda: bool(training.epochs))
        began = training.seconds()
        act(laboratory, training)
        found = training.finish()
        heard = [text for moment, text in found.pop("said") if moment >= began and text.startswith("train: ")]
        said = [text for text in heard if "(the rule: " not in text]  # the diagnosis at the end
        return {**found, "began": began, "said": said}


def after(found: dict) -> float:
    """Seconds from the moment of the fault to the end: what came before has its own noise, and is not the fault's."""
    return found["seconds"] - found["began"]


def nothing(_laboratory: Laboratory, _training: Observed) -> None:
    """What the faults are compared with."""


def cut(seconds: float) -> Callable:
    """The last node's cable is out for so long."""

    def act(laboratory: Laboratory, training: Observed) -> None:
        with laboratory.cut(laboratory.nodes[-1]):
            until = time.monotonic() + seconds
            training.wait_until(lambda: time.monotonic() >= until)

    return act


def lose_node(laboratory: Laboratory, _training: Observed) -> None:
    """Everything on the last node ends, and does not come back."""
    end_all([], [laboratory.nodes[-1].namespace], [])


def slow_link(laboratory: Laboratory, _training: Observed) -> None:
    """The last node's link has a tenth of its bandwidth from now on."""
    rates = [node.bandwidth_mbit for node in laboratory.nodes]
    laboratory.set_bandwidth([*rates[:-1], rates[-1] / 10])


def slow_processor(laboratory: Laboratory, _training: Observed) -> None:
    """The last node has half its processor from now on."""
    node = laboratory.nodes[-1]
    cgroup.create(cgroup.find_root(), node.namespace, node.cpus / 2)


FAULTS: dict[str, Callable] = {
    "none": nothing,
    "a link cut for 5 s": cut(5),
    "a link cut for 60 s": cut(60),
    "a node lost": lose_node,
    "a link with a tenth of the bandwidth": slow_link,
    "a node with half the processor": slow_processor,
}
