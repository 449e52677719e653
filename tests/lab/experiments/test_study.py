"""A small study with the command that a user runs: its cells are measured in a real laboratory."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

from conftest import ROOT
from laboratories import NAME, settings_for, traces
from omegaconf import OmegaConf

from udfs.captioner.model import load_captioner

BATCH = 32
MBIT = 20


def test_a_study_measures_one_and_two_nodes_and_continues_where_it_was_stopped(parquet_pipeline, tmp_path):
    settings_for(tmp_path)  # skips if the machine cannot run a laboratory
    workspace, _outcomes = parquet_pipeline
    settings = OmegaConf.create(asdict(workspace.job("train").settings))
    del settings.run, settings.paths.runs  # they differ between trainings
    OmegaConf.save(settings, tmp_path / "config.yaml")
    study = {
        "config": str(tmp_path / "config.yaml"), "folder": str(tmp_path / "study"), "docs": str(tmp_path),
        "seeds": [0], "nodes": [1, 2], "bandwidths_mbit": [MBIT], "seconds": 3, "repetitions": 1, "margin": 0.5,
        "always": [
            "train.epochs=2", "train.validation_bleu=true", f"train.batch_size={BATCH}",
            "model.embedding_dim=256", "model.lstm_units=256",
        ],
        "engines": {
            "thesis": {"always": [f"train.batch_size={BATCH}"]},
            "low rank": {"always": [f"train.batch_size={BATCH}", "communication.powersgd_rank=4"], "variation": True},
        },
        "variation_nodes": [2], "variation_bandwidth_mbit": MBIT,
        "regimes": {"equal": {"cpus_each": 0.7}},
        "laboratory": [f"name={NAME}", f"folder={tmp_path}", "head_cpus=0.6"],
    }  # fmt: skip
    OmegaConf.save(OmegaConf.create(study), tmp_path / "study.yaml")
    parts = [f"--only={part}" for part in ("trajectories", "cells", "report")]
    command = [sys.executable, "-m", "lab.experiments.study", str(tmp_path / "study.yaml"), *parts]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert traces(tmp_path) == {}

    report = json.loads((tmp_path / "scaling.json").read_text())
    runs = {(run["engine"], run["nodes"]): run for run in report["runs"]}
    assert set(runs) == {("thesis", 1), ("thesis", 2), ("low rank", 2)}
    alone, together, thin = runs["thesis", 1], runs["thesis", 2], runs["low rank", 2]
    [model] = (tmp_path / "study" / "runs").glob("*/model.keras")  # two nodes learn the same as one
    parameters = load_captioner(model.read_bytes()).count_params()
    a_step = together["bytes_per_epoch"] / together["steps_per_epoch"]
    assert 4 * parameters < a_step < 4 * parameters * 1.3
    assert together["seconds_per_step"] > 4 * parameters * 8 / (MBIT * 1e6)  # time on the wire
    assert alone["bytes_per_epoch"] < together["bytes_per_epoch"] / 20
    assert thin["bytes_per_epoch"] < together["bytes_per_epoch"] / 5
    assert thin["seconds_per_step"] < together["seconds_per_step"]
    assert together["communication_share"] > 0
    assert together["cpu_cores"] < alone["cpu_cores"] < 0.8  # they wait for the wire
    assert all(0.7 * MBIT < rate < 1.1 * MBIT for run in (together, thin) for rate in run["measured_mbit"])
    page = (tmp_path / "scaling.md").read_text()
    assert "*thesis* is slower on 2 nodes than on 1 at 20 Mbit/s" in page
    assert len(list((tmp_path / "scaling").glob("*.svg"))) == 8

    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr[-3000:]
    assert again.stdout.splitlines() == [str(tmp_path / "scaling.md")]
