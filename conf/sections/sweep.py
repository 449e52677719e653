"""Keys of the search for hyperparameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from conf.key import key, text


@dataclass
class Sweep:
    id: Annotated[
        str,
        text("name of the sweep, which begins the ids of its runs; auto: a fingerprint of its settings and tables"),
    ] = "auto"
    space: Annotated[
        dict[str, Any],
        key(
            "the keys that are searched, each with a list of values or a range {low: 1e-4, high: 1e-2, log: true, step: 1}, "
            "of which log and step may be left out: sweep.space.optimizer.learning_rate='{low: 1e-4, high: 1e-2}'"
        ),
    ] = field(default_factory=dict)
    trials: Annotated[int, key("trials of the sweep, those of earlier commands with the same id included", low=1)] = 20
    parallel: Annotated[int, key("trials that train at the same time, each in a Spark task", low=1)] = 2
    cores: Annotated[
        int, key("threads of each trial; 0: spark.task.cpus, which Spark reserves for its task", low=0)
    ] = 0
    pruner: Annotated[
        Literal["median", "none"],
        key(
            "median: a trial is stopped if its best train.monitor so far is worse than the median of the finished trials "
            "after as many epochs"
        ),
    ] = "median"
    warmup_epochs: Annotated[int, key("first epochs of a trial after which it is not pruned", low=0)] = 1
    startup_trials: Annotated[int, key("finished trials before any is pruned", low=1)] = 4
    keep_pruned: Annotated[bool, key("keep the run folders of pruned trials")] = False
    seed: Annotated[int, key("seed of the sampler (TPE)", low=0)] = 0
    storage: Annotated[
        str, text("folder on the driver for the records and pages of all sweeps; auto: _sweeps in paths.runs")
    ] = "auto"
