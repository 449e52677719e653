"""The page of a sweep: its trials, the best one, and which keys mattered. It is one file that loads no other."""

from __future__ import annotations

from markupsafe import Markup

from jobs.driver.page import charts
from jobs.driver.page.render import template
from jobs.driver.sweep.results import SweepResult
from jobs.driver.sweep.study import FEWEST_FOR_IMPORTANCE


def render_sweep(result: SweepResult) -> str:
    """Returns the page as one HTML document."""
    names = list(result.rows[0].parameters) if result.rows else []
    return template("sweep.html.j2").render(
        sweep=result,
        names=names,
        value_chart=_value_chart(result),
        importance_chart=_importance_chart(result),
        fewest=FEWEST_FOR_IMPORTANCE,
    )


def _value_chart(result: SweepResult) -> Markup | None:
    """The value of each finished trial, and the best so far."""
    numbers, best = result.best_so_far
    if not numbers:
        return None
    values = {row.number: row.value for row in result.rows if row.state == "finished"}
    series = {"best so far": (numbers, best), "trial": (numbers, [values[number] for number in numbers])}
    return charts.lines("values", series, "trial", result.metric)


def _importance_chart(result: SweepResult) -> Markup | None:
    if not result.importances:
        return None
    rows = [(name, share, 0.0, share) for name, share in result.importances.items()]
    return charts.intervals("importances", rows, "importance")
