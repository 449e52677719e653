"""Every job, one after the other, on a drawn corpus; training runs as a real barrier stage."""

import json
import shutil

import numpy as np
import pytest
from conftest import JOBS
from feature_cells import feature_of
from nltk.translate.bleu_score import corpus_bleu
from scene_facts import captions_of, score_facts

from udfs.errors import InputError


@pytest.fixture(params=["delta", "parquet"])
def pipeline(request):
    return request.getfixturevalue(f"{request.param}_pipeline")


def test_a_second_run_of_each_job_does_nothing(pipeline):
    workspace, outcomes = pipeline
    for name in JOBS:
        again = workspace.run(name)
        assert again.written == 0, name
        assert again.unchanged == outcomes[name].written > 0, name
        assert again.version == outcomes[name].version, name
        assert again.metrics == outcomes[name].metrics, name


def test_examples_are_dealt_evenly(pipeline):
    workspace, _ = pipeline
    rows = workspace.table("examples").read().collect()
    for split, photos in (("train", 32), ("dev", 4)):
        counts = np.bincount([row.shard for row in rows if row.split == split])
        assert counts.sum() == photos
        assert counts.max() - counts.min() <= 1
    assert {row.caption_count for row in rows} == {5}
    assert {len(row.token_ids) for row in rows} == {5 * (24 + 1)}


def test_the_run_folder_is_complete(pipeline):
    workspace, outcomes = pipeline
    folder = workspace.folder / "runs" / outcomes["train"].run
    history = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in history] == [1, 2, 3, 4]
    assert history[1]["loss"] < history[0]["loss"]
    vocabulary = json.loads((folder / "vocabulary.json").read_text())
    assert len(vocabulary["tokens"]) == outcomes["tokenize_captions"].metrics["vocabulary_size"]
    assert (folder / "model.keras").exists()
    assert "lstm_units: 16" in (folder / "config.yaml").read_text()
    (row,) = workspace.table("runs").read().where(f"run_id = '{folder.name}'").collect()
    assert (row.run_id, row.status, row.promoted) == (outcomes["train"].run, "trained", False)
    assert row.metrics["val_loss"] == pytest.approx(min(line["val_loss"] for line in history))


def test_scores_equal_nltk_on_the_stored_captions(pipeline):
    workspace, outcomes = pipeline
    rows = workspace.table("predictions").read().collect()
    assert len(rows) == outcomes["evaluate"].written == 4
    assert all(len(row.references) == 5 for row in rows)
    metrics = outcomes["evaluate"].metrics
    references = [[reference.split() for reference in row.references] for row in rows]
    expected = corpus_bleu(references, [row.hypothesis.split() for row in rows], weights=(1,))
    assert metrics["bleu1"] == pytest.approx(expected, abs=1e-9)
    lengths = [len(row.hypothesis.split()) for row in rows]
    assert metrics["mean_length"] == pytest.approx(np.mean(lengths))
    assert metrics["distinct_captions"] == len({row.hypothesis for row in rows})
    unpenalised = metrics["bleu1_without_penalty"] * metrics["brevity_penalty"]
    assert unpenalised == pytest.approx(metrics["bleu1"], abs=1e-12)
    for name in ("bleu1", "cider_d", "rouge_l", "mean_length", "brevity_penalty"):
        assert metrics["intervals"][name]["low"] <= metrics[name] <= metrics["intervals"][name]["high"]
    bounded = [["startseq", *row.hypothesis.split(), "endseq"] for row in rows]
    bounded_references = [[["startseq", *words, "endseq"] for words in each] for each in references]
    expected = corpus_bleu(bounded_references, bounded, weights=(0.5, 0.5))
    assert metrics["legacy"]["bleu2"] == pytest.approx(expected, abs=1e-9)


def test_baselines_stand_beside_the_scores(pipeline):
    workspace, outcomes = pipeline
    baselines = outcomes["evaluate"].metrics["baselines"]
    assert set(baselines) == {"most_frequent_caption", "shuffled_photos", "nearest_photo", "human"}
    rows = workspace.table("predictions").read().collect()
    references = [[text.split() for text in row.references] for row in rows]
    each = [(own, others[:n] + others[n + 1 :]) for others in references for n, own in enumerate(others)]
    human = corpus_bleu([others for _, others in each], [own for own, _ in each], weights=(1,))
    assert baselines["human"]["bleu1"] == pytest.approx(human, abs=1e-9)

    trained = workspace.table("captions").read().where("split = 'train' AND caption_no = 0").collect()
    features = {row.image_id: feature_of(row).astype("float64") for row in workspace.table("features").read().collect()}
    units = {name: feature / np.linalg.norm(feature) for name, feature in features.items()}
    nearest = [max(trained, key=lambda row: units[row.image_id] @ units[photo.image_id]) for photo in rows]
    words = [row.text.lower().replace(".", "").split() for row in nearest]
    expected = corpus_bleu(references, words, weights=(1,))
    assert baselines["nearest_photo"]["bleu1"] == pytest.approx(expected, abs=1e-9)


def test_the_facts_of_the_captions_are_judged_by_the_scenes_of_their_photos(delta_pipeline):
    workspace, outcomes = delta_pipeline
    captions = captions_of(workspace.table("predictions").read(), outcomes["train"].run, "test")
    assert score_facts(captions).captions == 4
    references = [(row.image_id, row.text) for row in workspace.table("captions").read().collect()]
    assert score_facts(references).right == 1


@pytest.mark.parametrize(
    ("job", "overrides", "words"),
    [
        ("build_examples", ["extractor.weights=random:5"], r"table features.*extract_features"),
        ("build_examples", ["text.min_count=3"], r"text\.min_count.*tokenize_captions"),
        ("train", ["extractor.weights=random:5"], r"table examples.*extractor.*build_examples"),
        ("train", ["train.workers=9", "run.id=many"], r"train\.workers.*slots"),
        ("train", ["run.id=../elsewhere"], r"run\.id"),
        ("evaluate", ["evaluate.split=tets"], r"evaluate\.split.*dev, test, train"),
        ("evaluate", ["run.id=absent"], r"run\.id.*train\.py"),
    ],
)
def test_what_does_not_fit_together_is_refused(delta_pipeline, job, overrides, words):
    workspace, _ = delta_pipeline
    with pytest.raises(InputError, match=words):
        workspace.run(job, *overrides)


def test_a_run_is_not_resumed_with_another_configuration(delta_pipeline):
    workspace, outcomes = delta_pipeline
    with pytest.raises(InputError, match=r"train\.epochs was 4 and is 3"):
        workspace.run("train", f"run.id={outcomes['train'].run}", "train.epochs=3")


def test_after_the_five_jobs_photos_are_captioned_and_explained(delta_pipeline, tmp_path):
    """The README's path: nothing has been promoted, and no run is named."""
    workspace, outcomes = delta_pipeline
    photos = tmp_path / "photos"
    photos.mkdir()
    for photo in sorted((workspace.corpus / "images").iterdir())[:2]:
        shutil.copy(photo, photos)
    captioned = workspace.run("caption", f"photos={photos}", f"caption.output={tmp_path}/captions")
    assert (captioned.run, captioned.rows_in, captioned.written) == (outcomes["train"].run, 2, 2)
    quick = ["explain.photos_limit=1", "explain.sanity_photos=0", "explain.smooth_samples=1", "explain.curve_steps=2",
             "explain.random_orders=1", "explain.occlusion_patch=112", "explain.occlusion_stride=112"]  # fmt: skip
    explained = workspace.run("explain", f"photos={photos}", f"explain.output={tmp_path}/explanations", *quick)
    assert (explained.run, explained.rows_in, explained.written) == (outcomes["train"].run, 1, 1)
    assert len(json.loads((tmp_path / "explanations" / "explanations.json").read_text())["photos"]) == 1


def test_an_epochs_bleu_is_that_of_its_greedy_captions(parquet_pipeline):
    workspace, outcomes = parquet_pipeline
    run = outcomes["train"].run
    scored = workspace.run("evaluate", f"run.id={run}", "evaluate.split=dev", "decoding.beam_width=1").metrics
    history = (workspace.folder / "runs" / run / "metrics.jsonl").read_text().splitlines()
    best = min(map(json.loads, history), key=lambda line: line["val_loss"])
    assert best["bleu1"] > 0
    for name in ("bleu1", "bleu2", "bleu3", "bleu4"):
        assert best[name] == pytest.approx(scored[name], rel=1e-9), name
