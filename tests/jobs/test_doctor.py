"""The report on the environment: where all is well, and where something is wrong."""

import json

import pytest
from conftest import spark_submit


def test_a_sound_environment_has_no_error(workspace, caplog):
    caplog.set_level("INFO")
    outcome = workspace.run("doctor", "storage.format=parquet")
    checks = {check["name"]: check for check in outcome.metrics["checks"]}
    assert outcome.problem is None
    assert (outcome.metrics["error"], outcome.metrics["warning"]) == (0, 0), checks
    assert {
        "Python",
        "packages",
        "keras.json",
        "proxies",
        "SPARK_LOCAL_DIRS",
        "Spark",
        "Java",
        "LC_ALL",
    } < checks.keys()
    (keras,) = (check for name, check in checks.items() if name.startswith("Keras on "))
    assert "on tensorflow, channels_last" in keras["found"]
    assert [message.split()[0] for message in caplog.messages] == ["ok"] * len(outcome.metrics["checks"])


@pytest.mark.slow
def test_an_error_ends_with_code_2_after_the_json_line(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    folder = f"{tmp_path}/file/scratch"
    monkeypatch.setenv("SPARK_LOCAL_DIRS", folder)
    done = spark_submit("doctor", f"paths.runs={tmp_path}")
    assert done.code == 2
    (line,) = map(json.loads, done.stdout.splitlines())
    assert line["job"] == "doctor"
    (wrong,) = (check for check in line["metrics"]["checks"] if check["verdict"] == "error")
    assert (wrong["name"], wrong["found"]) == ("SPARK_LOCAL_DIRS", f"{folder}, where {tmp_path}/file cannot be written")
    assert f"doctor: error    SPARK_LOCAL_DIRS: found {folder}" in done.stderr
    assert done.stderr.splitlines()[-1] == "doctor: found 1 errors; they are logged above"
