"""What an update costs in time, as a model with three ways to exchange gradients, fitted to what was measured.

    seconds = work * captions / cpus + fixed / cpus + wire * bytes / bandwidth + latency * rounds

`captions` are those of one node's share of an update, `bytes` what passes the busiest link one way, one after the other, and
`rounds` how many messages follow each other. `wire` is 1 where a link carries exactly its nominal rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import nnls


def ring(nodes: int, size: float) -> tuple[float, int]:
    """(bytes, rounds): a part from neighbour to neighbour, once around to sum and once to share (Patarasuk and Yuan, 2009)."""
    return (2 * (nodes - 1) / nodes * size, 2 * (nodes - 1)) if nodes > 1 else (0.0, 0)


def tree(nodes: int, size: float) -> tuple[float, int]:
    """(bytes, rounds): everything up a binary tree and down again, a level at a time (Thakur et al., 2005)."""
    levels = math.ceil(math.log2(nodes)) if nodes > 1 else 0
    return 2 * levels * size, 2 * levels


def parameter_server(nodes: int, size: float) -> tuple[float, int]:
    """(bytes, rounds): one server beside the nodes takes all gradients and gives all weights through its one link."""
    return (2 * nodes * size, 2) if nodes > 1 else (0.0, 0)


EXCHANGES: dict[str, Callable] = {"ring": ring, "tree": tree, "parameter server": parameter_server}


@dataclass(frozen=True)
class Work:
    """An update: captions of all nodes together, bytes of what is exchanged, and local steps between two exchanges."""

    captions: float
    size: float
    steps: int = 1


@dataclass(frozen=True)
class Cost:
    """The fitted coefficients: seconds a caption and a step on one processor, the wire's factor, seconds a round."""

    work: float
    fixed: float
    wire: float
    latency: float

    def compute(self, work: Work, nodes: int, cpus: float) -> float:
        """Seconds a step without the exchange."""
        return (self.work * work.captions / nodes + self.fixed) / cpus

    def seconds(self, work: Work, nodes: int, cpus: float, mbit: float, exchange: str = "ring") -> float:
        """Seconds a step on nodes with so many processors each, on links of so many Mbit/s (0: without any limit)."""
        return float(np.dot(row(work, nodes, cpus, mbit, exchange), list(asdict(self).values())))


def row(work: Work, nodes: int, cpus: float, mbit: float, exchange: str = "ring") -> list[float]:
    """What each coefficient is multiplied with."""
    sent, rounds = EXCHANGES[exchange](nodes, work.size)
    wire = sent * 8 / (mbit * 1e6) if mbit else 0.0
    return [work.captions / nodes / cpus, 1 / cpus, wire / work.steps, rounds / work.steps]


def fit(rows: list[list[float]], seconds: list[float]) -> tuple[Cost, list[float]]:
    """The coefficients, none negative, with the least squares of the relative errors; and these errors, signed."""
    scale = 1 / np.array(seconds)
    found, _ = nnls(np.array(rows) * scale[:, None], np.ones(len(seconds)))
    errors = np.array(rows) @ found * scale - 1
    return Cost(*map(float, found)), errors.tolist()
