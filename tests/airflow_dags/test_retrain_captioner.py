"""The DAG as Airflow reads it, and the report that it publishes."""

import json
import subprocess
from pathlib import Path

import pytest
from airflow_environment import PYTHON, environment
from conftest import ROOT

SHOW = Path(__file__).parent / "show_dag.py"


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> dict:
    done = subprocess.run(
        [PYTHON, SHOW], capture_output=True, text=True, timeout=120, env=environment(tmp_path_factory.mktemp("airflow"))
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_is_read_without_errors_in_under_a_second(shown):
    assert shown["errors"] == {}
    assert shown["seconds"] < 1
    assert shown["heavy"] == []


def test_features_and_tokens_side_by_side_then_one_after_the_other(shown):
    assert shown["edges"] == {
        "extract_features": ["build_examples"], "tokenize_captions": ["build_examples"], "build_examples": ["anything_new"],
        "anything_new": ["publish", "train"], "train": ["evaluate"], "evaluate": ["gate"], "gate": ["publish"], "publish": [],
    }  # fmt: skip


def test_every_task_has_documentation_a_timeout_and_retries_with_back_off(shown):
    assert sorted(shown["complete"]) == sorted(shown["edges"])


def test_weekly_or_when_photos_landed_one_run_at_a_time(shown):
    assert shown["schedule"] == ["AssetOrTimeSchedule", "0 3 * * 1", "captioner_photos"]
    assert shown["one_at_a_time"]


def test_parameters_have_types_and_descriptions(shown):
    assert shown["described"]
    assert shown["refused"] == ["overrides", "gate_margin", "recompute_features", "config"]
    assert shown["reserved"], "what the DAG decides is not open to overrides"
    assert len(shown["accepted"]) == 6


def test_every_job_gets_the_run_and_its_own_settings(shown):
    run = "run.id=retrain_manual-2026-11-21T08-07-13.9-00-00"
    own = {
        "extract_features": "extractor.recompute=false",
        "train": "recovery.take_over=false",
        "gate": "gate.margin=0.02",
    }
    for job, setting in own.items():
        config, *settings = shown["arguments"][job][1:]
        assert config == str(ROOT / "conf" / "local.yaml")
        assert settings == ["train.epochs=3", setting, f"paths.runs={ROOT / 'data' / 'runs'}", run]
    assert "recovery.take_over=true" in shown["retried"], "the driver of a killed task may still hold the run"


def test_a_wrong_input_is_not_tried_again(shown):
    assert shown["after_code"] == {"1": "default", "2": "fail", "-9": "default"}


def line(job: str, **metrics) -> dict:
    return {
        "job": job,
        "rows_in": 3,
        "written": 2,
        "unchanged": 1,
        "quarantined": 0,
        "seconds": 4.5,
        "metrics": metrics,
    }


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "airflow_dags"))
    from retraining_report import report

    return report


def test_the_report_says_that_nothing_is_new(report):
    text = report("a", [line("extract_features"), line("build_examples")])
    assert "**Nothing new.**" in text
    assert "| build_examples | 3 | 2 | 1 | 0 | 4.5 |" in text


def test_the_report_says_what_was_decided_and_why(report):
    scores = {f"bleu{order}": 1 / order for order in (1, 2, 3, 4)}
    more = {
        "cider_d": 0.4567,
        "rouge_l": 0.43219,
        "brevity_penalty": 0.97531,
        "mean_length": 8.64,
        "distinct_captions": 623,
    }
    evaluated = line("evaluate", **scores, **more, baselines={"shuffled_photos": scores})
    kept = line("gate", promoted=False, champion="b", reasons=["BLEU-4 is lower"])
    text = report("a", [line("train"), evaluated, kept])
    assert "**Not promoted; the champion is b.**" in text
    assert "- BLEU-4 is lower" in text
    assert "| this run | 1.0000 | 0.5000 | 0.3333 | 0.2500 | 0.4567 | 0.4322 | 0.975 | 8.6 | 623 |" in text
    assert "| shuffled photos | 1.0000 | 0.5000 | 0.3333 | 0.2500 | - | - | - | - | - |" in text
    assert "**Promoted.**" in report("a", [line("gate", promoted=True, champion="a", reasons=["BLEU-4 is higher"])])
