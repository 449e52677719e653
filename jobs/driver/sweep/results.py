"""What came of a sweep: its trials as rows, the best one, and the commands that use it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from jobs.driver.sweep.space import parameters_of
from jobs.driver.sweep.study import SweepStudy

STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "in training",
}


@dataclass(frozen=True)
class TrialRow:
    """A trial.

    Attributes:
        number: Its number, from 0.
        state: finished, pruned, failed or in training.
        value: The metric of its best epoch; of a pruned one, of its last epoch; None if there is none.
        epochs: Epochs that it was trained for.
        seconds: How long that took; None while it is in training.
        parameters: The values of the searched keys.
        run: The id of its run, which is another trial's if that had the same values.
        error: Why it failed; otherwise empty.
    """

    number: int
    state: str
    value: float | None
    epochs: int
    seconds: float | None
    parameters: dict[str, Any]
    run: str
    error: str


@dataclass(frozen=True)
class SweepResult:
    """A sweep as its page and its JSON line show it.

    Attributes:
        sweep_id: The sweep's id.
        metric: The metric that trials are compared by.
        is_maximised: Whether more of it is better.
        rows: The trials by number.
        best: The best finished trial, if any has finished.
        importances: Each searched key's importance, largest first; empty if too few trials have finished.
        config: The file of the best run's settings: a path, or a URI that must be copied to be used.
    """

    sweep_id: str
    metric: str
    is_maximised: bool
    rows: list[TrialRow]
    best: TrialRow | None = None
    importances: dict[str, float] = field(default_factory=dict)
    config: str = ""

    def count(self, state: str) -> int:
        return sum(row.state == state for row in self.rows)

    @property
    def ranked(self) -> list[TrialRow]:
        """The finished trials, best first, then pruned, failed and unfinished ones in order of number."""
        sign, states = -1 if self.is_maximised else 1, list(STATES.values())
        finished = [row for row in self.rows if row.state == "finished"]
        others = [row for row in self.rows if row.state != "finished"]
        return [
            *sorted(finished, key=lambda row: (sign * row.value, row.number)),
            *sorted(others, key=lambda row: (states.index(row.state), row.number)),
        ]

    @property
    def best_so_far(self) -> tuple[list[int], list[float]]:
        """The numbers of the finished trials, and the best value among those up to each."""
        best, numbers, values = None, [], []
        for row in self.rows:
            if row.state == "finished" and row.value is not None:
                pick = max if self.is_maximised else min
                best = row.value if best is None else pick(best, row.value)
                numbers.append(row.number)
                values.append(best)
        return numbers, values

    @property
    def best_keys(self) -> str:
        """The best values as arguments of a command."""
        return " ".join(shlex.quote(f"{name}={_plain(value)}") for name, value in self.best.parameters.items())

    @property
    def best_command(self) -> str:
        """A command that trains with the best run's settings."""
        return f"spark-submit jobs/train.py --config {shlex.quote(self.config)} run.id=best"

    def metrics(self) -> dict[str, Any]:
        """The values of the JSON line."""
        best = self.best
        values = (
            {"trial": best.number, "run": best.run, "value": best.value, "parameters": best.parameters}
            if best
            else None
        )
        return {
            "sweep": self.sweep_id, "metric": self.metric, "best": values, "finished": self.count("finished"),
            "pruned": self.count("pruned"), "failed": self.count("failed"), "importances": self.importances,
        }  # fmt: skip


def result_of(study: SweepStudy, sweep_id: str) -> SweepResult:
    """The sweep as it stands; the file of the best run's settings is added by the caller."""
    best = study.best
    return SweepResult(
        sweep_id,
        study.monitor,
        study.is_maximised,
        [_row(trial) for trial in study.trials],
        _row(best) if best else None,
        study.importances(),
    )


def table(result: SweepResult) -> list[str]:
    """The trials as lines of text, best first."""
    names = list(result.rows[0].parameters) if result.rows else []
    lines = [["trial", "state", result.metric, "epochs", "seconds", *names]]
    for row in result.ranked:
        values = [_plain(row.parameters.get(name)) for name in names]
        lines.append([str(row.number), row.state, _score(row.value), str(row.epochs), _plain(row.seconds), *values])
    return _aligned(lines)


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _row(trial: FrozenTrial) -> TrialRow:
    notes, steps = trial.user_attrs, trial.intermediate_values
    return TrialRow(
        trial.number,
        STATES[trial.state],
        trial.value if trial.value is not None else steps.get(max(steps, default=0)),
        max(steps, default=0),
        notes.get("seconds"),
        parameters_of(trial),
        notes.get("run", ""),
        notes.get("error", ""),
    )


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _plain(value: Any) -> str:
    """A value as a configuration takes it."""
    return "–" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
