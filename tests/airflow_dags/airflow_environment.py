"""Airflow's own environment, which the tests call as a user does."""

from __future__ import annotations

import os
from pathlib import Path

from conftest import ROOT

AIRFLOW = ROOT / "airflow_dags" / "airflow.sh"
PYTHON = ROOT / ".airflow" / "bin" / "python"


def environment(home: Path, **more: str) -> dict[str, str]:
    """Variables for an Airflow whose database and logs are in a folder of their own."""
    assert PYTHON.exists(), f"{PYTHON} not found; run `make airflow` first"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "CAPTIONER", "PYSPARK"))}
    return {
        **kept,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "airflow_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1",  # short jobs: compile them quickly
        **more,
    }
