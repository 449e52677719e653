"""Where the seconds of a step go on the most nodes: what keeps the speed-up under the number of nodes.

share           one node's step, measured alone, divided by the nodes: the ideal
shared machine  as much again as one node was slower while the others trained too (lab/experiments/study/crowd.py)
unused          the part of its processors that a node did not use: it waited for a message or for another node
besides         the rest: processor time that each node spends on every step whatever its share is (the update, the
                exchange's conversions and protocol, products of smaller matrices)
"""

from __future__ import annotations

from lab.experiments.study.settings import Study


def parts_of_a_step(study: Study, runs: list[dict], company: list[dict]) -> list[dict]:
    """Seconds, by engine and bandwidth, in the first regime. runs and company: the report's `runs` and `crowd.steps`.

    An engine that was not measured in company has no parts.
    """
    regime, most = next(iter(study.regimes)), max(study.nodes)
    steps = {step["engine"]: step for step in company}
    found = []
    for run in runs:
        if (run["regime"], run["nodes"]) == (regime, most) and run["engine"] in steps:
            step, seconds = steps[run["engine"]], run["seconds_per_step"]
            parts = {
                "share": step["alone"] / most,
                "shared_machine": (step["in_company"] - step["alone"]) / most,
                "unused": max(0.0, 1 - run["cpu_cores"] / run["cpus"]) * seconds,
            }
            parts["besides"] = seconds - sum(parts.values())
            about = {key: run[key] for key in ("engine", "nodes", "bandwidth_mbit", "seconds_per_step")}
            found.append({**about, **{name: round(value, 4) for name, value in parts.items()}})
    return found
