"""A sweep as a command: trials side by side as Spark tasks, a killed driver, and runs that other jobs can use."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import QUICK_TRAINING, ROOT, SMALL_NETWORK, Workspace, spark_submit
from optuna import create_study
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from udfs.errors import InputError

SPACE = [
    "sweep.space.optimizer.learning_rate={low: 1e-3, high: 1e-2, log: true}",
    "sweep.space.model.dropout=[0.0, 0.3]",
]
SWEEP = [*SPACE, "sweep.id=S", "sweep.trials=4", "sweep.parallel=2", "sweep.cores=1", "sweep.pruner=none"]


@pytest.fixture(scope="module")
def tables(spark, drawn, tmp_path_factory) -> Workspace:
    """A workspace whose tables are ready for training."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "corpus").symlink_to(drawn)
    more = ["examples.shards=2", "storage.format=parquet", *QUICK_TRAINING, "train.validation_bleu=false"]
    workspace = Workspace(folder, [*SMALL_NETWORK, *more])
    for name in ("extract_features", "tokenize_captions", "build_examples"):
        workspace.run(name)
    return workspace


def trials(workspace: Workspace, sweep: str) -> list[FrozenTrial]:
    journal = workspace.folder / "runs" / "_sweeps" / sweep / "journal.log"
    study = create_study(
        study_name=sweep, storage=JournalStorage(JournalFileBackend(str(journal))), load_if_exists=True
    )
    return study.trials


def test_two_trials(tables):
    out = tables.run("sweep", *SWEEP, "sweep.trials=2")
    print(out)
