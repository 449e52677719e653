"""A small study: two engines on one and two nodes, measured and reported by the command that a user runs."""

from __future__ import annotations

import json
import subprocess
import sys

import keras
from conftest import ROOT, SMALL_NETWORK, Workspace
from laboratories import NAME, settings_for, traces
from omegaconf import OmegaConf


def test_a_study_measures_two_engines_and_goes_on_where_it_was_stopped(spark, drawn, tmp_path):
    settings_for(tmp_path)  # skips where there can be no laboratory
    (tmp_path / "corpus").symlink_to(drawn)
    workspace = Workspace(tmp_path, [*SMALL_NETWORK, "extractor.pooling=avg", "storage.format=parquet"])
    for name in ("extract_features", "tokenize_captions", "build_examples"):
        workspace.run(name)
    settings = OmegaConf.structured(workspace.job("train").settings)
    del settings.run, settings.paths.runs  # each training has its own
    OmegaConf.save(settings, tmp_path / "config.yaml")
    study = {
        "config": str(tmp_path / "config.yaml"), "folder": str(tmp_path / "study"), "docs": str(tmp_path),
        "seeds": [0], "nodes": [1, 2], "bandwidths_mbit": [20], "seconds": 3, "repetitions": 1, "margin": 0.5,
        "always": ["train.epochs=2", "train.validation_bleu=true"],
        "engines": {
            "thesis": {"always": ["train.batch_size=32"]},
            "ours": {"always": ["train.batch_size=32", "train.average_every=4"], "paths": [1, 2]},
        },
        "regimes": {"equal": {"cpus_each": 0.7}},
        "laboratory": [f"name={NAME}", f"folder={tmp_path}", "head_cpus=0.5"],
    }  # fmt: skip
    OmegaConf.save(OmegaConf.create(study), tmp_path / "study.yaml")
    parts = [f"--only={part}" for part in ("trajectories", "cells", "report")]
    command = [sys.executable, "-m", "lab.study", str(tmp_path / "study.yaml"), *parts]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr[-3000:]
    assert traces(tmp_path) == {}

    report = json.loads((tmp_path / "scaling.json").read_text())
    runs = {(run["engine"], run["nodes"]): run for run in report["runs"]}
    assert set(runs) == {("thesis", 1), ("thesis", 2), ("ours", 1), ("ours", 2)}
    models = list((tmp_path / "study" / "runs").glob("*/model.keras"))
    assert len(models) == 3  # the thesis's engine learns the same on one node as on two
    parameters = keras.saving.load_model(models[0], safe_mode=True).count_params()
    thesis, ours = runs["thesis", 2], runs["ours", 2]
    a_step = thesis["bytes_per_epoch"] / thesis["steps_per_epoch"]
    assert 4 * parameters < a_step < 4 * parameters * 1.3
    assert thesis["seconds_per_step"] > 4 * parameters * 8 / 20e6  # what the wire takes
    assert runs["thesis", 1]["bytes_per_epoch"] < thesis["bytes_per_epoch"] / 20
    assert ours["bytes_per_epoch"] < thesis["bytes_per_epoch"] / 2
    assert thesis["communication_share"] > 0
    assert all(run["cpu_cores"] < 0.8 for run in runs.values())
    assert "slower on 2 nodes than on 1" in (tmp_path / "scaling.md").read_text()

    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0
    assert again.stdout.splitlines() == [str(tmp_path / "scaling.md")]
