"""Chooses the way to communicate that a plan asks for."""

from __future__ import annotations

from typing import Any

from udfs.engine.communication.collectives import Collectives
from udfs.engine.communication.local_sgd import LocalSgd
from udfs.engine.communication.powersgd import PowerSgd
from udfs.engine.communication.protocol import Communication
from udfs.engine.communication.reducers import DenseAllReduce, SparseRows, single_worker
from udfs.engine.communication.synchronous import Synchronous
from udfs.engine.plan import Plan


def choose_communication(plan: Plan, collectives: Collectives, rank: int, model: Any, optimizer: Any) -> Communication:
    """The communication of a plan, for one worker's model and optimizer."""
    if plan.communication.local_sgd_steps:
        return LocalSgd(plan, collectives, rank, model.trainable_variables, optimizer.variables)
    return synchronous(plan, collectives, rank, [tuple(variable.shape) for variable in model.trainable_variables])


def synchronous(plan: Plan, collectives: Collectives, rank: int, shapes: list[tuple[int, ...]]) -> Synchronous:
    """Synchronous training, with the sum of the gradients that the plan asks for."""
    settings = plan.communication
    if collectives.workers == 1:
        return Synchronous(plan, single_worker)
    # About the size of the largest number in a sum of gradients, for dtypes with a small range.
    scale = float(plan.batch_size * settings.gradient_accumulation_steps)
    if settings.powersgd_rank:
        powersgd = PowerSgd(shapes, settings.powersgd_rank, collectives, scale, plan.seed)
        return Synchronous(plan, powersgd.reduce, powersgd)
    if settings.sparse_embedding:
        return Synchronous(plan, SparseRows(collectives, rank, scale).reduce)
    return Synchronous(plan, DenseAllReduce(collectives, scale).reduce)
