"""Measures what faults cost: a disconnected link, a lost node, a slow link and a slow processor.

Each is compared with the same training without a fault.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

from lab.cluster import cgroup
from lab.cluster.laboratory import Laboratory
from lab.cluster.observation import ObservedTraining, losses
from lab.cluster.processes import end_all
from lab.cluster.settings import load_settings
from lab.experiments.study.results import Results, ResultsFile
from lab.experiments.study.settings import FAULT_NAMES, Study

FAULT_TRAININGS = ResultsFile("faults.jsonl", ("fault",))
EPOCHS = 3
ROUTINE = re.compile(r"train: (step \d+/|epoch \d+/|worker \d+ is ready|.*\(the rule: )")
Fault = Callable[[Laboratory, ObservedTraining], None]


def measure_faults(study: Study) -> Results:
    """Measures the study's faults. Each begins with the second epoch, at the last node."""
    results = FAULT_TRAININGS.read(study.results_folder)
    undisturbed = next((line for line in results.lines if line["fault"] == "none"), None)
    for name in FAULT_NAMES:
        if name in (study.faults.names or FAULT_NAMES) and not results.has(fault=name):
            training = _train_with_fault(study, FAULTS[name])
            undisturbed = undisturbed or training
            training["seconds_lost"] = round(_seconds_after(training) - _seconds_after(undisturbed), 1)
            training["same_losses"] = losses(training) == losses(undisturbed)
            results.add({"fault": name, **training})
    return results


def _train_with_fault(study: Study, act: Fault) -> dict:
    faults = study.faults
    cpus = study.regimes[faults.regime].cpus(faults.nodes)
    limits = [f"nodes={faults.nodes}", f"cpus={cpus}", f"bandwidth_mbit={faults.bandwidth_mbit}"]
    with Laboratory(load_settings(None, ["name=study", *study.laboratory, *limits])) as laboratory:
        overrides = [*study.always, *study.engines[faults.engine].overrides(faults.nodes, faults.bandwidth_mbit)]
        overrides += [f"train.workers={faults.nodes}", f"train.epochs={EPOCHS}", *faults.always]
        command = ["jobs/train.py", "--config", study.config, *overrides]
        runs, run_id = study.runs_folder / "faults", f"fault-{os.urandom(4).hex()}"
        training = ObservedTraining(laboratory, command, runs, run_id)
        training.wait_until(lambda: bool(training.epochs))
        began = training.seconds()
        act(laboratory, training)
        figures = training.finish()
        return {**figures, "began": began, "messages": notable_messages(figures["messages"], began)}


def notable_messages(messages: list[tuple[float, str]], began: float) -> list[str]:
    """The job's messages since the fault, without progress and the diagnosis at the end.

    Args:
        messages: Lines of standard error, each with its seconds.
        began: Seconds at the start of the fault.
    """
    later = [text for seconds, text in messages if seconds >= began and text.startswith("train: ")]
    return [text for text in later if not ROUTINE.match(text)]


def _seconds_after(training: dict) -> float:
    """Seconds from the fault to the end. The time before it varies for other reasons."""
    return training["seconds"] - training["began"]


def _do_nothing(_laboratory: Laboratory, _training: ObservedTraining) -> None:
    """The undisturbed training."""


def _disconnect(seconds: float) -> Fault:
    """Disconnects the last node for some time."""

    def act(laboratory: Laboratory, training: ObservedTraining) -> None:
        with laboratory.cut(laboratory.hosts.nodes[-1]):
            until = time.monotonic() + seconds
            training.wait_until(lambda: time.monotonic() >= until)

    return act


def _lose_node(laboratory: Laboratory, _training: ObservedTraining) -> None:
    """Kills every process on the last node for good."""
    end_all([], [laboratory.hosts.nodes[-1].namespace], [])


def _slow_link(laboratory: Laboratory, _training: ObservedTraining) -> None:
    """Reduces the bandwidth of the last node to a tenth."""
    rates = [node.bandwidth_mbit for node in laboratory.hosts.nodes]
    laboratory.set_bandwidth([*rates[:-1], rates[-1] / 10])


def _slow_processor(laboratory: Laboratory, _training: ObservedTraining) -> None:
    """Halves the processors of the last node."""
    node = laboratory.hosts.nodes[-1]
    cgroup.create(cgroup.find_root(), node.namespace, node.cpus / 2)


FAULTS: dict[str, Fault] = {
    "none": _do_nothing,
    "a link cut for 5 s": _disconnect(5),
    "a link cut for 60 s": _disconnect(60),
    "a node lost": _lose_node,
    "a link with a tenth of the bandwidth": _slow_link,
    "a node with half the processor": _slow_processor,
}
