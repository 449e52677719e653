"""A model of the time of a training step with three ways to exchange gradients, and its fit to measurements.

    seconds = work * captions / cpus + fixed / cpus + wire * bytes / bandwidth + latency * rounds

`captions` are those of one node's share of a step. `bytes` pass the busiest link in one direction, one after the other.
`rounds` is the number of messages that follow each other. `wire` is 1 if a link carries exactly its nominal rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import nnls


def ring(nodes: int, size: float) -> tuple[float, int]:
    """(bytes, rounds) of a ring: parts go around once to be summed and once to be shared (Patarasuk and Yuan, 2009)."""
    return (2 * (nodes - 1) / nodes * size, 2 * (nodes - 1)) if nodes > 1 else (0.0, 0)


def tree(nodes: int, size: float) -> tuple[float, int]:
    """(bytes, rounds) of a binary tree: everything goes up and down, one level at a time (Thakur et al., 2005)."""
    levels = math.ceil(math.log2(nodes)) if nodes > 1 else 0
    return 2 * levels * size, 2 * levels


def parameter_server(nodes: int, size: float) -> tuple[float, int]:
    """(bytes, rounds) of one server beside the nodes, which receives all gradients and sends all weights over one link."""
    return (2 * nodes * size, 2) if nodes > 1 else (0.0, 0)


EXCHANGES: dict[str, Callable[[int, float], tuple[float, int]]] = {
    "ring": ring,
    "tree": tree,
    "parameter server": parameter_server,
}


@dataclass(frozen=True)
class Work:
    """The work of a step: captions of all nodes together, bytes that are exchanged, and steps between two exchanges."""

    captions: float
    size: float
    steps: int = 1


@dataclass(frozen=True)
class Cost:
    """The coefficients.

    Args:
        work: Seconds a caption on one processor.
        fixed: Seconds a step on one processor, independent of the number of captions.
        wire: Factor of the time that the bytes take at the nominal rate.
        latency: Seconds a round.
    """

    work: float
    fixed: float
    wire: float
    latency: float

    def compute(self, work: Work, nodes: int, cpus: float) -> float:
        """Seconds a step without the exchange."""
        return (self.work * work.captions / nodes + self.fixed) / cpus

    def seconds(self, work: Work, nodes: int, cpus: float, mbit: float, exchange: str = "ring") -> float:
        """Seconds a step on nodes with `cpus` processors each, on links of `mbit` Mbit/s (0: unlimited)."""
        return float(np.dot(cost_terms(work, nodes, cpus, mbit, exchange), list(asdict(self).values())))


def cost_terms(work: Work, nodes: int, cpus: float, mbit: float, exchange: str = "ring") -> list[float]:
    """The factors of the four coefficients, in their order."""
    sent, rounds = EXCHANGES[exchange](nodes, work.size)
    wire = sent * 8 / (mbit * 1e6) if mbit else 0.0
    return [work.captions / nodes / cpus, 1 / cpus, wire / work.steps, rounds / work.steps]


def fit(terms: list[list[float]], seconds: list[float]) -> tuple[Cost, list[float]]:
    """Fits the coefficients by non-negative least squares of the relative errors.

    Args:
        terms: `cost_terms` of each measurement.
        seconds: The measured seconds a step.

    Returns:
        The coefficients, and the signed relative error of each measurement.
    """
    scale = 1 / np.array(seconds)
    coefficients, _ = nnls(np.array(terms) * scale[:, None], np.ones(len(seconds)))
    errors = np.array(terms) @ coefficients * scale - 1
    return Cost(*map(float, coefficients)), errors.tolist()
