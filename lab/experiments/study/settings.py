"""What a study measures, as lab/experiments/study.yaml says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from udfs.errors import InputError


@dataclass
class Engine:
    """Overrides of jobs/train.py: those at any number of nodes, those at one number, and those of more nodes on links of one
    bandwidth in Mbit/s (0: unlimited).

    `paths`: the numbers of nodes at which something else is learned. Where every step is synchronised the same is learned at
    any number (1 alone), and through 16 bits or low ranks the same at any above one (1 and 2): what is sent depends on the
    gradients' sum. A `variation` is timed at the study's variation_nodes and variation_bandwidth alone, in the first regime,
    and learns nothing.
    """

    always: list[str] = field(default_factory=list)
    nodes: dict[int, list[str]] = field(default_factory=dict)
    links: dict[int, list[str]] = field(default_factory=dict)
    paths: list[int] = field(default_factory=lambda: [1])
    variation: bool = False

    def overrides(self, nodes: int, mbit: float) -> list[str]:
        return [*self.always, *self.nodes.get(nodes, []), *(self.links.get(mbit, []) if nodes > 1 else [])]

    def path(self, nodes: int, mbit: float) -> tuple[int, float]:
        """The nodes and the bandwidth whose trajectory these follow: the largest of `paths` that is not larger, and the first
        of `links` with the same overrides; 0 where links make no difference."""
        followed = max(path for path in self.paths if path <= nodes)
        same = [link for link, own in self.links.items() if own == self.links.get(mbit)] if followed > 1 else []
        return followed, float(same[0]) if same else 0.0


@dataclass
class Regime:
    """Processors of a node: so many each, or so many divided among them."""

    cpus_each: float = 0.0
    cpus_together: float = 0.0

    def cpus(self, nodes: int) -> float:
        return self.cpus_each or round(self.cpus_together / nodes, 3)


@dataclass
class Faults:
    """The training that faults happen to, and which ones; none named: all of lab/study/faults.py."""

    engine: str = "ours"
    regime: str = "equal"
    nodes: int = 2
    bandwidth_mbit: float = 100.0
    always: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


@dataclass
class Study:
    config: str = "conf/flickr8k.yaml"
    always: list[str] = field(default_factory=list)
    engines: dict[str, Engine] = field(default_factory=dict)
    reference: str = "thesis"
    regimes: dict[str, Regime] = field(default_factory=dict)
    nodes: list[int] = field(default_factory=lambda: [1, 2, 3, 4])
    bandwidths_mbit: list[float] = field(default_factory=lambda: [0, 1000, 100, 10])
    variation_nodes: list[int] = field(default_factory=lambda: [1, 4])
    variation_bandwidth_mbit: float = 100.0
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    margin: float = 0.005
    seconds: float = 60.0
    repetitions: int = 2
    faults: Faults = field(default_factory=Faults)
    laboratory: list[str] = field(default_factory=list)
    folder: str = "data/study"
    docs: str = "docs"

    @property
    def main_engines(self) -> dict[str, Engine]:
        return {name: engine for name, engine in self.engines.items() if not engine.variation}

    def paths(self, engine: str) -> list[tuple[int, float]]:
        """The nodes and bandwidths at which an engine learns something else."""
        found = self.engines[engine]
        return list(dict.fromkeys(found.path(*at) for at in product(self.nodes, self.bandwidths_mbit)))

    def cells(self, engine: str) -> dict[tuple[str, int], list[float]]:
        """An engine's bandwidths by regime and nodes; one node sends nothing, so that one bandwidth is as good as another."""
        if self.engines[engine].variation:
            regimes, nodes, bandwidths = list(self.regimes)[:1], self.variation_nodes, [self.variation_bandwidth_mbit]
        else:
            regimes, nodes, bandwidths = list(self.regimes), self.nodes, self.bandwidths_mbit
        return {(regime, n): bandwidths if n > 1 else [0.0] for regime, n in product(regimes, nodes)}

    @property
    def place(self) -> Path:
        """The folder of the runs."""
        return Path(self.folder).absolute()

    @property
    def measured(self) -> Path:
        """The folder of what is measured and of the figures, which are the docs'."""
        return Path(self.docs).absolute() / "scaling"


def read_study(path: str, overrides: list[str] = ()) -> Study:
    """Raises InputError where the file or an override cannot be used."""
    try:
        given = OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_dotlist(list(overrides)))
        study = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Study), given))
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}; see lab/experiments/study.yaml") from error
    if study.reference not in study.engines:
        raise InputError(
            f"reference: found {study.reference}, expected one of {', '.join(study.engines)}; change {path}"
        )
    for name, regime in study.regimes.items():
        if bool(regime.cpus_each) == bool(regime.cpus_together):
            raise InputError(f"regimes.{name}: set either cpus_each or cpus_together in {path}")
    return study
