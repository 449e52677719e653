"""What `make demo` runs: standard output ends with the evaluation's JSON line, and the run's page is complete."""

import re
import subprocess

from conftest import ROOT

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
