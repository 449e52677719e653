"""What `make demo` runs: standard output ends with the evaluation's JSON line, and the run's page is complete."""

import json
import re
import subprocess

import pytest
from conftest import ROOT, Workspace, spark_submit
from scene_facts import captions_of, score_facts

from jobs import report, run_pipeline


def test_the_last_line_of_the_demo_is_the_evaluations_and_the_report_follows_on_standard_error():
    """As `make` would run it; what the report does to the page is tested with the report."""
    done = subprocess.run(["make", "--dry-run", "demo"], capture_output=True, text=True, cwd=ROOT, check=True)
    jobs = [line for line in done.stdout.splitlines() if "spark-submit jobs/" in line]
    names = [line.split("jobs/")[1].split(".py")[0] for line in jobs]
    assert names == ["draw_sample", "run_pipeline", "report"]
    assert [line.endswith(">&2") for line in jobs] == [False, False, True]
    assert list(run_pipeline.STEPS)[-1] == "evaluate"
    assert {"validate_externally", "explain"} <= set(report.STEPS)
    settings = [re.findall(r"--config \S+|decoding\.\S+", line) for line in jobs]
    assert settings == [["--config conf/demo.yaml"]] * 3, "other settings would score the run again"


@pytest.mark.slow
def test_its_captioner_names_what_the_photos_show_and_beats_the_caption_of_the_nearest_photo(spark, tmp_path):
    """About 2 minutes on two cores."""
    workspace = Workspace(tmp_path, [])
    arguments = ("--config", str(ROOT / "conf/demo.yaml"), *workspace.arguments())
    for job in ("draw_sample", "run_pipeline"):
        done = spark_submit(job, *arguments)
        assert done.code == 0, done.stderr[-2000:]
    line = json.loads(done.stdout.splitlines()[-1])
    facts = score_facts(captions_of(workspace.table("predictions").read(), line["run"], "test"))
    assert facts.captions == 160
    assert facts.right >= 0.95, facts.wrong
    ours, nearest = (scores["intervals"] for scores in (line["metrics"], line["metrics"]["baselines"]["nearest_photo"]))
    for score in ("bleu1", "bleu2", "bleu3", "bleu4", "cider_d", "rouge_l"):
        assert ours[score]["low"] > nearest[score]["high"], score
