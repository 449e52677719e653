"""Which settings and tables name a training run, and when a run may be resumed."""

import json
import shutil

import pytest
from conftest import Workspace

import conf
from jobs.driver.runs.identity import fingerprint_of, identity_of, require_same
from udfs.errors import InputError

VERSIONS = {"examples": 3, "extractor": "vgg16", "vocabulary": "abc"}


def identity(*overrides: str, versions: dict | None = None) -> dict:
    return identity_of(conf.load(None, list(overrides)), versions or VERSIONS)


def test_only_what_affects_the_weights_is_part_of_a_run():
    same = [
        "train.workers=4",
        "recovery.max_restarts=9",
        "decoding.beam_width=1",
        "train.progress_seconds=1",
        "log.level=debug",
    ]
    assert identity(*same) == identity()
    for other in (
        "model.dropout=0.1",
        "optimizer.name=sgd",
        "communication.dtype=bfloat16",
        "corpus.validation_split=test",
    ):
        assert fingerprint_of(identity(other)) != fingerprint_of(identity())
    assert fingerprint_of(identity(versions={**VERSIONS, "examples": 4})) != fingerprint_of(identity())


@pytest.mark.parametrize("differ", ["communication.local_sgd_steps=4", "communication.powersgd_rank=2"])
def test_the_number_of_workers_counts_if_each_has_a_state_of_its_own(differ):
    assert fingerprint_of(identity(differ, "train.workers=2")) != fingerprint_of(identity(differ, "train.workers=3"))


def test_a_key_that_a_run_does_not_know_has_its_default():
    saved = identity()
    del saved["communication.powersgd_rank"]
    require_same(saved, identity(), "ID")
    assert fingerprint_of(saved) == fingerprint_of(identity())
    with pytest.raises(InputError, match=r"ID was created with different settings: .*powersgd_rank was 0 and is 2"):
        require_same(saved, identity("communication.powersgd_rank=2"), "ID")


def test_a_key_whose_default_is_new_has_its_original_value_in_runs_that_do_not_know_it():
    saved = identity("model.normalise=none")
    del saved["model.normalise"]
    require_same(saved, identity("model.normalise=none"), "ID")
    assert fingerprint_of(saved) == fingerprint_of(identity("model.normalise=none")) != fingerprint_of(identity())
    with pytest.raises(InputError, match=r"ID was created with different settings: model\.normalise was 'none' and is"):
        require_same(saved, identity(), "ID")


def test_a_setting_that_only_the_run_knows_is_a_difference():
    with pytest.raises(InputError, match=r"model\.depth was 2 and is None"):
        require_same({**identity(), "model.depth": 2}, identity(), "ID")


def test_a_run_with_the_old_names_of_settings_is_refused_by_name():
    with pytest.raises(InputError, match=r"ID was created by version 0\.1"):
        require_same({**identity(), "train.learning_rate": 0.001}, identity(), "ID")


def test_a_finished_run_is_still_known_after_an_upgrade_that_adds_a_key(delta_pipeline, tmp_path):
    workspace, outcomes = delta_pipeline
    shutil.copytree(workspace.folder / "runs", tmp_path / "runs")
    run = outcomes["train"].run
    about = tmp_path / "runs" / run / "run.json"
    content = json.loads(about.read_text())
    del content["identity"]["optimizer.ema_decay"]
    about.write_text(json.dumps(content))
    later = Workspace(workspace.folder, [*workspace.overrides, f"paths.runs={tmp_path / 'runs'}"])
    outcome = later.run("train")
    assert (outcome.run, outcome.written) == (run, 0)
