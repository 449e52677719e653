"""Trainings to compare, and the ordinary jobs that run them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Annotated

import conf
from conf.key import key, text
from jobs.driver.command import perform
from jobs.driver.job import Job
from lab.command import log
from lab.experiments.runs import run_id


@dataclass
class Trainings:
    """Which trainings to run: for each variant, the `common` overrides and then its own."""

    config: Annotated[str, text("configuration of the jobs that all variants start from")] = "conf/flickr8k.yaml"
    common: Annotated[list[str], key("overrides for every variant")] = field(default_factory=list)
    variants: Annotated[
        dict[str, list[str]], key("names of the variants, each with its overrides of jobs/train.py")
    ] = field(default_factory=dict)

    def overrides(self, name: str) -> list[str]:
        """All overrides of a variant; a later one replaces an earlier one."""
        return [*self.common, *self.variants[name]]


@dataclass(frozen=True)
class Trial:
    """One training: a variant with a seed. The run's id begins with `title`."""

    title: str
    name: str
    seed: int

    @property
    def run_id(self) -> str:
        return run_id(self.title, self.name, self.seed)


def run_jobs(trainings: Trainings, trial: Trial, jobs: tuple[str, ...]) -> str:
    """Runs jobs for a trial in this process; a job whose result exists does nothing.

    Args:
        trainings: The variants, one of which is the trial's.
        trial: The variant and the seed.
        jobs: Names of modules of `jobs`, in order.

    Returns:
        The id of the run.
    """
    overrides = [f"run.id={trial.run_id}", f"train.seed={trial.seed}", *trainings.overrides(trial.name)]
    settings = conf.load(trainings.config, [*overrides, "evaluate.split=dev"])
    for name in jobs:
        outcome, _ = perform(Job(name, settings), importlib.import_module(f"jobs.{name}").main)
        log.info(f"{trial.run_id}: {name}: {outcome.metrics}")
    return trial.run_id
