"""The ordinary training command on the laboratory's cluster."""

from __future__ import annotations

import json

import keras
from conftest import ROOT
from laboratories import settings_for, traces

from lab import Laboratory


def test_two_nodes_train_over_their_links(parquet_pipeline, tmp_path):
    """Each node sends every step's gradients, in 32 bits, once around a ring of two: half to sum them, half to share the sums."""
    workspace, _ = parquet_pipeline
    settings = settings_for(tmp_path, "spark=true", "bandwidth_mbit=100")
    arguments = [*workspace.arguments(), f"paths.runs={tmp_path}/runs", "run.id=lab", "train.epochs=2"]
    with Laboratory(settings) as laboratory:
        before = laboratory.traffic()
        with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
            training = laboratory.submit("jobs/train.py", *arguments, cwd=ROOT, stdout=out, stderr=err)
            code = training.wait(300)
        after = laboratory.traffic()
    assert code == 0, (tmp_path / "err").read_text()
    line = json.loads((tmp_path / "out").read_text().splitlines()[-1])
    assert (line["job"], line["run"], line["metrics"]["epochs"]) == ("train", "lab", 2)
    epochs = [json.loads(text) for text in (tmp_path / "runs" / "lab" / "metrics.jsonl").read_text().splitlines()]
    workers = [worker["address"].rsplit(":", 1)[0] for worker in epochs[0]["workers"]]
    assert workers == [node.address for node in laboratory.nodes]
    captioner = keras.saving.load_model(tmp_path / "runs" / "lab" / "model.keras", safe_mode=True)
    captions = sum(worker["captions"] for epoch in epochs for worker in epoch["workers"])
    gradients = 4 * captioner.count_params() * (captions // 32)
    for node in laboratory.nodes:
        sent, received = (now - then for now, then in zip(after[node.name], before[node.name], strict=True))
        assert sent > gradients, f"{node.name} sent {sent} bytes"
        assert received > gradients, f"{node.name} received {received} bytes"
    assert traces(tmp_path) == {}
