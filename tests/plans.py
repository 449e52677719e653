"""Changes of a training plan for tests, by the names of single settings wherever they are in the plan."""

from __future__ import annotations

from dataclasses import fields, replace

from udfs.captioner.shape import CaptionerShape
from udfs.captioner.training import CaptionerTask
from udfs.engine.plan import CommunicationPlan, OptimizerPlan, Plan


def with_changes(plan: Plan, **changes) -> Plan:
    """The plan with other values of fields of its own, its optimizer, its communication, or its captioner."""
    return replace(
        plan,
        **_of(Plan, changes),
        optimizer=replace(plan.optimizer, **_of(OptimizerPlan, changes)),
        communication=replace(plan.communication, **_of(CommunicationPlan, changes)),
        task=_captioner(plan.task, changes) if isinstance(plan.task, CaptionerTask) else plan.task,
    )


def _captioner(task: CaptionerTask, changes: dict) -> CaptionerTask:
    shape = replace(changes.get("shape", task.shape), **_of(CaptionerShape, changes))
    return replace(task, **{**_of(CaptionerTask, changes), "shape": shape})


def _of(kind: type, changes: dict) -> dict:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in changes.items() if name in names}
