"""Divides the seconds of a step on the most nodes into parts, which show why the speed-up is below the number of nodes.

share           one node's step, measured alone, divided by the number of nodes: the ideal
shared machine  how much longer that share takes while the other nodes train too (contention.py)
unused          the part of its processors that a node did not use, while it waited for a message or another node
besides         the rest: processor time for every step that does not depend on the node's share (the update, conversions
                and protocol of the exchange, products of smaller matrices)
"""

from __future__ import annotations

from lab.experiments.study.settings import Study


def parts_of_steps(study: Study, runs: list[dict], contention: list[dict]) -> list[dict]:
    """The parts in seconds, by engine and bandwidth, in the first regime.

    Args:
        study: The study.
        runs: The report's runs.
        contention: The `steps` of the report's contention; engines without a record are left out.
    """
    regime, most = next(iter(study.regimes)), max(study.nodes)
    steps = {step["engine"]: step for step in contention}
    records = []
    for run in runs:
        if (run["regime"], run["nodes"]) == (regime, most) and run["engine"] in steps:
            step, seconds = steps[run["engine"]], run["seconds_per_step"]
            parts = {
                "share": step["alone"] / most,
                "shared_machine": (step["contended"] - step["alone"]) / most,
                "unused": max(0.0, 1 - run["cpu_cores"] / run["cpus"]) * seconds,
            }
            parts["besides"] = seconds - sum(parts.values())
            about = {name: run[name] for name in ("engine", "nodes", "bandwidth_mbit", "seconds_per_step")}
            records.append({**about, **{name: round(value, 4) for name, value in parts.items()}})
    return records
