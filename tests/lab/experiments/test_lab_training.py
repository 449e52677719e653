"""The ordinary jobs on the laboratory's Spark cluster."""

from __future__ import annotations

import json

from conftest import JOBS, ROOT, SMALL_NETWORK
from laboratories import settings_for, traces

from lab import Laboratory
from udfs.captioner.model import load_captioner


def test_two_nodes_extract_and_train_over_their_links(drawn, tmp_path):
    """Each node sends the 32-bit gradients of each step once around a ring of two: half to sum them, half to share the sums."""
    settings = settings_for(tmp_path, "spark=true", "bandwidth_mbit=100")
    arguments = [
        *(f"corpus.root={drawn}", f"paths.warehouse={tmp_path}/warehouse", f"paths.runs={tmp_path}/runs"),
        *(*SMALL_NETWORK, "extractor.pooling=avg", "examples.shards=2", "storage.format=parquet"),
        *("train.workers=2", "train.epochs=2", "train.batch_size=32"),
    ]
    with Laboratory(settings) as laboratory:
        before = laboratory.traffic()
        with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
            pipeline = laboratory.submit("jobs/run_pipeline.py", *arguments, cwd=ROOT, stdout=out, stderr=err)
            code = pipeline.wait(800)
        after = laboratory.traffic()
    assert code == 0, "\n".join((tmp_path / name).read_text()[-3000:] for name in ("out", "err"))
    lines = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [line["job"] for line in lines] == JOBS
    assert lines[0]["written"] == 40

    run = tmp_path / "runs" / lines[3]["run"]
    epochs = [json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]
    workers = [worker["address"].rsplit(":", 1)[0] for worker in epochs[0]["workers"]]
    assert workers == [node.address for node in laboratory.hosts.nodes]
    captions = sum(worker["captions"] for epoch in epochs for worker in epoch["workers"])
    captioner = load_captioner((run / "model.keras").read_bytes())
    gradients = 4 * captioner.count_params() * (captions // 32)
    for node in laboratory.hosts.nodes:
        sent, received = (now - then for now, then in zip(after[node.name], before[node.name], strict=True))
        assert sent > gradients, f"{node.name} sent {sent} bytes"
        assert received > gradients, f"{node.name} received {received} bytes"
    assert traces(tmp_path) == {}
