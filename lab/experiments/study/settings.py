"""What a study measures: the keys of lab/experiments/study.yaml."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Annotated

from conf import load_as
from conf.key import key, text

NodeCount = Annotated[int, key("", low=1)]
Bandwidth = Annotated[float, key("", low=0.0)]
Seed = Annotated[int, key("", low=0)]
FAULT_NAMES = (
    "none",
    "a link cut for 5 s",
    "a link cut for 60 s",
    "a node lost",
    "a link with a tenth of the bandwidth",
    "a node with half the processor",
)


@dataclass
class Engine:
    """One way of training.

    Synchronous training learns the same on any number of nodes, so that `paths` is [1]. With 16 bits or low ranks it learns
    the same on any number above one, since what is sent depends on the sum of the gradients, so that `paths` is [1, 2].
    """

    always: Annotated[list[str], key("overrides of jobs/train.py on any number of nodes")] = field(default_factory=list)
    nodes: Annotated[dict[NodeCount, list[str]], key("further overrides by number of nodes")] = field(
        default_factory=dict
    )
    links: Annotated[
        dict[int, list[str]], key("further overrides by bandwidth in Mbit/s (0: unlimited), on more than one node")
    ] = field(default_factory=dict)
    paths: Annotated[list[NodeCount], key("numbers of nodes from which on the engine learns something else")] = field(
        default_factory=lambda: [1]
    )
    variation: Annotated[
        bool, key("measure only the time, at variation_nodes and variation_bandwidth_mbit, in the first regime")
    ] = False

    def __post_init__(self):
        if not self.paths:
            raise ValueError("paths: found an empty list, expected at least one number of nodes; set paths=[1]")

    def overrides(self, nodes: int, mbit: float) -> list[str]:
        """The engine's overrides on so many nodes, with links of so many Mbit/s."""
        of_link = self._link_overrides(mbit) if nodes > 1 else None
        return [*self.always, *self.nodes.get(nodes, []), *(of_link or [])]

    def path(self, nodes: int, mbit: float) -> tuple[int, float]:
        """The number of nodes and the bandwidth whose trajectory is also that of these.

        Returns:
            The largest of `paths` that does not exceed `nodes`, and the first of `links` with the same overrides; 0 if the
            bandwidth makes no difference.
        """
        followed = max(path for path in self.paths if path <= nodes)
        settings = self._link_overrides(mbit)
        same = [link for link, overrides in self.links.items() if overrides == settings] if followed > 1 else []
        return followed, float(same[0]) if same else 0.0

    def _link_overrides(self, mbit: float) -> list[str] | None:
        return next((overrides for link, overrides in self.links.items() if link == mbit), None)


@dataclass
class Regime:
    """The processors of a node: a fixed number, or an equal share of a number that all nodes have together."""

    cpus_each: Annotated[float, key("processors of each node; 0: use cpus_together", low=0.0)] = 0.0
    cpus_together: Annotated[float, key("processors of all nodes together; 0: use cpus_each", low=0.0)] = 0.0

    def __post_init__(self):
        if bool(self.cpus_each) == bool(self.cpus_together):
            raise ValueError(
                f"cpus_each: found cpus_each={self.cpus_each} and cpus_together={self.cpus_together}, expected one of the two; "
                "set the other to 0"
            )

    def cpus(self, nodes: int) -> float:
        """The processors of each of so many nodes."""
        return self.cpus_each or round(self.cpus_together / nodes, 3)


@dataclass
class Faults:
    """The training to which faults happen."""

    engine: Annotated[str, text("engine that trains")] = "ours"
    regime: Annotated[str, text("regime of the processors")] = "equal"
    nodes: Annotated[int, key("number of nodes", low=1)] = 2
    bandwidth_mbit: Annotated[float, key("Mbit/s of a node's link; 0: unlimited", low=0.0)] = 100.0
    always: Annotated[list[str], key("further overrides of jobs/train.py")] = field(default_factory=list)
    names: Annotated[list[str], key("faults to measure; empty: all")] = field(default_factory=list)

    def __post_init__(self):
        if unknown := [name for name in self.names if name not in FAULT_NAMES]:
            raise ValueError(
                f"faults.names: found {', '.join(unknown)}, expected any of: {', '.join(FAULT_NAMES)}; change the study"
            )


@dataclass
class Study:
    config: Annotated[str, text("configuration of the jobs")] = "conf/flickr8k.yaml"
    always: Annotated[list[str], key("overrides of jobs/train.py for all engines")] = field(default_factory=list)
    engines: Annotated[dict[str, Engine], key("what is compared, by name")] = field(default_factory=dict)
    reference: Annotated[str, text("engine whose best epoch on one node sets the target BLEU")] = "thesis"
    regimes: Annotated[dict[str, Regime], key("processors of the nodes, by name")] = field(default_factory=dict)
    nodes: Annotated[list[NodeCount], key("numbers of nodes")] = field(default_factory=lambda: [1, 2, 3, 4])
    bandwidths_mbit: Annotated[list[Bandwidth], key("Mbit/s of the nodes' links; 0: unlimited")] = field(
        default_factory=lambda: [0.0, 1000.0, 100.0, 10.0]
    )
    variation_nodes: Annotated[list[NodeCount], key("numbers of nodes of the variations")] = field(
        default_factory=lambda: [1, 4]
    )
    variation_bandwidth_mbit: Annotated[float, key("Mbit/s of the variations' links; 0: unlimited", low=0.0)] = 100.0
    seeds: Annotated[list[Seed], key("train.seed of the trajectories")] = field(default_factory=lambda: [0, 1, 2])
    margin: Annotated[float, key("how far the target BLEU-4 is below the reference's best epoch", low=0.0)] = 0.005
    seconds: Annotated[float, key("seconds for which each cell is measured", low=0.1)] = 60.0
    repetitions: Annotated[int, key("measurements of each cell", low=1)] = 2
    faults: Faults = field(default_factory=Faults)
    laboratory: Annotated[list[str], key("overrides of the laboratory's keys")] = field(default_factory=list)
    folder: Annotated[str, text("folder of the runs")] = "data/study"
    docs: Annotated[str, text("folder of the report; measurements and figures are in its folder scaling")] = "docs"

    def __post_init__(self):
        for name in ("nodes", "bandwidths_mbit", "seeds"):
            if not getattr(self, name):
                raise ValueError(f"{name}: found an empty list, expected at least one number; add one")
        if self.engines and self.reference not in self.engines:
            raise ValueError(
                f"reference: found {self.reference}, expected one of {', '.join(self.engines)}; change the study"
            )

    @property
    def main_engines(self) -> dict[str, Engine]:
        """The engines without the variations."""
        return {name: engine for name, engine in self.engines.items() if not engine.variation}

    def paths(self, engine: str) -> list[tuple[int, float]]:
        """The numbers of nodes and the bandwidths at which an engine has a trajectory of its own."""
        follow = self.engines[engine].path
        return list(dict.fromkeys(follow(*place) for place in product(self.nodes, self.bandwidths_mbit)))

    def cells(self, engine: str) -> dict[tuple[str, int], list[float]]:
        """An engine's bandwidths by regime and number of nodes. One node sends nothing, so that one bandwidth is enough."""
        if self.engines[engine].variation:
            regimes, nodes, bandwidths = list(self.regimes)[:1], self.variation_nodes, [self.variation_bandwidth_mbit]
        else:
            regimes, nodes, bandwidths = list(self.regimes), self.nodes, self.bandwidths_mbit
        return {(regime, n): bandwidths if n > 1 else [0.0] for regime, n in product(regimes, nodes)}

    @property
    def runs_folder(self) -> Path:
        """The folder of the runs of all parts."""
        return Path(self.folder).absolute()

    @property
    def results_folder(self) -> Path:
        """The folder of the measurements and of the figures."""
        return Path(self.docs).absolute() / "scaling"


def read_study(path: str, overrides: Iterable[str] = ()) -> Study:
    """The study of a YAML file, with overrides. Raises InputError that names the key."""
    return load_as(Study, path, overrides, "python -m lab.experiments.study --help")
