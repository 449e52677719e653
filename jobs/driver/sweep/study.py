"""The record of a sweep's trials: an Optuna study in a journal file on the driver.

Every change is appended to the file before the sweep goes on, so a driver can be killed at any time. The next one finds what was
finished, and the trials that were interrupted with the values that they had.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.pruners import MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from conf.schema import Sweep
from jobs.driver.runs.identity import require_same
from jobs.driver.sweep.space import Distribution, draw, parameters_of

MAXIMISED = {"bleu4"}  # the other metric of train.monitor, val_loss, is minimised
FEWEST_FOR_IMPORTANCE = 10  # finished trials; with fewer, the best tenth is a single one


class SweepStudy:
    """The trials of a sweep. Its methods may be called by several threads.

    Args:
        folder: The sweep's folder on the driver.
        sweep_id: The sweep's id.
        settings: The configuration's `sweep`.
        monitor: The metric that trials are compared by.
        space: What is searched.
        identity: Everything else that decides the outcome of a trial.

    Raises:
        InputError: If the sweep exists and was created with another space or identity.
    """

    def __init__(
        self,
        folder: Path,
        sweep_id: str,
        settings: Sweep,
        monitor: str,
        space: Mapping[str, Distribution],
        identity: Mapping[str, Any],
    ):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.settings, self.space, self.monitor = settings, space, monitor
        self._lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)
        self._study = optuna.create_study(
            study_name=sweep_id,
            storage=JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
            direction="maximize" if self.is_maximised else "minimize",
            pruner=pruner(settings),
            load_if_exists=True,
        )
        saved = self._study.user_attrs.get("identity")
        if saved is None:
            self._study.set_user_attr("identity", dict(identity))
        else:
            require_same(saved, dict(identity), sweep_id, "sweep.id")
        self._interrupted = [trial for trial in self.trials if not trial.state.is_finished()]

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials in order of number."""
        with self._lock:
            return self._study.get_trials(deepcopy=True)

    @property
    def finished(self) -> int:
        """The number of trials that are not trained again: finished, pruned or failed ones."""
        return self.count(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

    def count(self, *states: TrialState) -> int:
        return sum(trial.state in states for trial in self.trials)

    @property
    def is_maximised(self) -> bool:
        return self.monitor in MAXIMISED

    @property
    def best(self) -> FrozenTrial | None:
        """The best trial; None before any has finished."""
        return self._study.best_trial if self.count(TrialState.COMPLETE) else None

    def next_trial(self) -> tuple[Trial, dict[str, Any]] | None:
        """A trial to train, with the values of the searched keys: an interrupted one first; None if the sweep is complete."""
        with self._lock:
            number = self._interrupted[0].number if self._interrupted else len(self.trials)
            # A seed of each trial's own, so that a driver that continues does not draw the first trials' values again.
            seed = int(np.random.SeedSequence([self.settings.seed, number]).generate_state(1)[0])
            self._study.sampler = TPESampler(seed=seed)
            if self._interrupted:
                trial = Trial(self._study, self._interrupted.pop(0)._trial_id)  # Optuna resumes no trial by its number
            elif number < self.settings.trials:
                trial = self._study.ask()
            else:
                return None
            return trial, draw(trial, self.space)

    def twin(self, parameters: Mapping[str, Any]) -> FrozenTrial | None:
        """A finished or pruned trial with the same values, whose training would be the same."""
        known = [trial for trial in self.trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        return next((trial for trial in known if parameters_of(trial) == parameters), None)

    def report(self, trial: Trial, epoch: int, value: float) -> bool:
        """Records the metric after an epoch; returns whether the trial should be pruned."""
        with self._lock:
            trial.report(value, epoch)
            return trial.should_prune()

    def finish(self, trial: Trial, value: float, **notes: Any) -> None:
        self._tell(trial, TrialState.COMPLETE, value, notes)

    def prune(self, trial: Trial, **notes: Any) -> None:
        self._tell(trial, TrialState.PRUNED, None, notes)

    def fail(self, trial: Trial, **notes: Any) -> None:
        self._tell(trial, TrialState.FAIL, None, notes)

    def importances(self) -> dict[str, float]:
        """Each searched key's share in what sets the best tenth of the trials apart, largest first; sums to 1.

        PED-ANOVA (Watanabe et al., IJCAI 2023) as Optuna computes it. Empty if it cannot be estimated: with too few finished
        trials, with one searched key, or if the best tenth is no different from the rest.
        """
        if self.count(TrialState.COMPLETE) < FEWEST_FOR_IMPORTANCE:
            return {}
        with self._lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the last of these cases
            shares = get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator())
        return shares if len(set(shares.values())) > 1 else {}

    def _tell(self, trial: Trial, state: TrialState, value: float | None, notes: Mapping[str, Any]) -> None:
        with self._lock:
            for name, note in notes.items():
                trial.set_user_attr(name, note)
            self._study.tell(trial, value, state)


def pruner(settings: Sweep) -> optuna.pruners.BasePruner:
    """The pruner that `sweep.pruner` names. Epochs are its steps and are counted from 1."""
    if settings.pruner == "none":
        return NopPruner()
    return MedianPruner(n_startup_trials=settings.startup_trials, n_warmup_steps=settings.warmup_epochs + 1)
