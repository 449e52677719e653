"""The attending captioner on feature maps, through every job and through the engine."""

import json
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
from conftest import QUICK_EXPLANATION, SMALL_NETWORK, Workspace
from gang import Gang, history, in_folder, largest_relative_difference, path_of, train_to_the_end
from PIL import Image

from jobs.driver.runs.training_plan import make_plan, specify_run
from udfs.engine.events import Epoch
from udfs.engine.reader import read_file
from udfs.errors import InputError
from udfs.explain.strip import Method, Word, draw_strip

ATTENTION = [
    "extractor.layer=block_3_depthwise_relu", "extractor.pooling=none",
    "extractor.mirrored=true", "examples.shards=3", "storage.format=parquet",
    "model.topology=attention",
    "model.options={heads: 2, key_dim: 8, value_dim: 12}", "model.embedding_dim=16", "model.lstm_units=12",
    "model.tie_embeddings=false", "model.initial_bias=frequencies", "train.batch_unit=photos", "train.batch_size=8",
    "train.mirror_share=0.5", "optimizer.warmup_steps=3", "train.epochs=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def workspace(spark, drawn, tmp_path_factory) -> Workspace:
    folder = tmp_path_factory.mktemp("attention")
    (folder / "corpus").symlink_to(drawn)
    workspace = Workspace(folder, [*SMALL_NETWORK, *ATTENTION])
    for name in ("extract_features", "tokenize_captions", "build_examples"):
        workspace.run(name)
    return workspace


@pytest.fixture(scope="module")
def trained(workspace):
    """Three epochs of batches of 8 photos with their captions over 3 shards."""
    return workspace.run("train")


@pytest.fixture(scope="module")
def plan(workspace, trained):
    """Self-critical training from there, in epochs of 3 steps while a pass has 4, without dropout, in 64 bits."""
    job = workspace.job(
        "train", "model.dropout=0", "train.precision=float64", "recovery.checkpoint_every=2", "recovery.keep_checkpoints=9",
        "model.options={heads: 2, key_dim: 8, value_dim: 12, value_dropout: 0, channel_dropout: 0}",
        "train.objective=self_critical", f"train.start_from={trained.run}", "train.steps_per_epoch=3",
        "train.validation_bleu=false",
    )  # fmt: skip
    return make_plan(job, specify_run(job))


def test_every_job_takes_it(workspace, trained):
    written = (workspace.folder / "runs" / trained.run / "metrics.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in written]
    assert [sum(worker["photos"] for worker in line["workers"]) for line in lines] == [32, 32, 32]
    assert lines[-1]["loss"] < lines[0]["loss"]
    evaluated = workspace.run("evaluate")
    assert evaluated.written == 4
    captioned = workspace.run(
        "caption",
        f"caption.photos={workspace.folder}/corpus/images",
        "caption.format=json",
        f"caption.output={workspace.folder}/captions",
    )
    assert captioned.written == 40


def test_its_attention_is_explained_and_tested_beside_the_other_maps(workspace, trained):
    photos = f"photos={workspace.folder}/corpus/images"
    long = "decoding.length_penalty=5"  # three epochs are too few to write words without it
    explained = workspace.run(
        "explain", *QUICK_EXPLANATION, photos, "explain.photos_limit=1", "explain.sanity_photos=1", long
    )
    assert (explained.run, explained.written, explained.quarantined) == (trained.run, 1, 0)
    folder = Path(urlparse(explained.metrics["output"]).path)
    (photo,) = json.loads((folder / "explanations.json").read_text())["photos"]
    assert photo["words"]
    methods = {"grad_cam", "smooth_grad", "occlusion", "attention"}
    for curve in ("insertion", "deletion"):
        assert all(set(word[curve]) == {*methods, "random"} for word in photo["words"])
        assert set(explained.metrics[curve]) == {*methods, "random"}
        assert set(explained.metrics[f"{curve}_better_than_random"]) == methods
    checks = explained.metrics["rank_correlation_with_randomised"].values()
    assert all(set(check) == methods and check["attention"] < 0.99 for check in checks)
    words, row = [Word("", 1, 0, [])] * len(photo["words"]), Method("", "", np.zeros((len(photo["words"]), 2, 2)))
    with Image.open(folder / photo["strip"]) as strip:
        assert strip.size == draw_strip(np.zeros((2, 2, 3)), "", words, [row] * 4).size, "attention has a row"


def test_self_critical_training_is_exact_at_any_number_of_workers_and_after_a_kill(plan, trained, workspace, tmp_path):
    alone, killed = (in_folder(plan, tmp_path / name) for name in ("alone", "killed"))
    train_to_the_end(alone, 1)
    with Gang(killed, 2) as gang:
        gang.wait_for(0, Epoch)
    assert (path_of(killed) / "checkpoints").is_dir()
    train_to_the_end(killed, 3)
    lines = history(alone)
    assert all(0 <= line["reward"] <= 11 for line in lines)
    first = json.loads((workspace.folder / "runs" / trained.run / "metrics.jsonl").read_text().splitlines()[-1])
    assert lines[0]["val_loss"] == pytest.approx(first["val_loss"], rel=0.05), "it began with those weights"
    assert largest_relative_difference(alone, killed) < 1e-9


def test_the_examples_hold_the_features_of_mirrored_photos(workspace):
    features = workspace.table("features").read().toPandas()
    by_extractor = [rows.set_index("image_id").feature.map(bytes) for _, rows in features.groupby("extractor")]
    examples = workspace.table("examples").read().toPandas().set_index("image_id")
    assert [len(rows) for rows in by_extractor] == [40, 40]
    pairs = {(bytes(row.feature), bytes(row.mirrored_feature)) for row in examples.itertuples()}
    expected = {
        (first[name], second[name]) for first, second in [by_extractor, by_extractor[::-1]] for name in examples.index
    }
    assert len(pairs) == len(examples)
    assert pairs < expected


def test_a_second_phase_begins_with_the_run_that_the_first_phase_is(workspace, trained):
    second = ["run.id=second", "train.second_phase={train: {objective: self_critical, epochs: 1, steps_per_epoch: 2}}"]
    outcome = workspace.run("train", *second)
    about = json.loads((workspace.folder / "runs" / outcome.run / "run.json").read_text())
    assert (outcome.run, outcome.written) == ("second", 32)
    assert about["identity"]["train.start_from"] == trained.run, "which was trained already"
    assert workspace.run("train", *second).written == 0


def test_features_are_centred_by_the_training_photos_and_the_model_keeps_that(plan):
    maps = np.concatenate([read_file(plan.task, file).photo for file in plan.train.files_of(0, 1)])
    flat = maps.reshape(-1, maps.shape[-1]).astype("float64")
    found = plan.task.shape.normalisation
    np.testing.assert_allclose(found.mean, flat.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.deviation, [np.sqrt(flat.var(axis=0).mean())], rtol=1e-6)
    assert plan.task.build_model().shape.normalisation == found


def test_training_on_mirrored_photos_needs_their_features(workspace):
    workspace.run("build_examples", "extractor.mirrored=false")
    with pytest.raises(InputError, match=r"train.mirror_share: .*extractor.mirrored=true"):
        workspace.run("train", "extractor.mirrored=false", "train.epochs=1")
