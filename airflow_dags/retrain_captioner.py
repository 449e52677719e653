"""### Retraining the captioner

Brings the features and the tokens up to date, builds the examples, and trains a challenger if anything has changed. The gate
compares it with the champion on the same photos and promotes it, or keeps the champion. The report gives the decision and the
reasons.

The DAG runs every Monday at 03:00 UTC, or when the asset `captioner_photos` has an event (`airflow_dags/photos_landed.py`),
whichever comes first. One run is active at a time.

All jobs of a run get the same `run.id`. A job writes its JSON line into that run's folder, and reads the table versions that
the earlier jobs recorded there, so photos that arrive during a run are used by the next one. A failed task is retried after a
pause that grows with each retry, and resumes where it stopped. A task whose configuration or input is wrong (exit code 2) is
not retried.

The Spark connection `spark_default` defines where the jobs run. Environment variables:

- `CAPTIONER_HOME`: the project's folder.
- `CAPTIONER_CONFIG`, `CAPTIONER_RUNS`: the defaults of the parameters `config` and `runs`.
- `CAPTIONER_PY_FILES`: the project's wheel, for executors that do not have the project installed.
- `CAPTIONER_RETRY_SECONDS`: the first pause before a retry.
"""

from __future__ import annotations

import ast
import json
import os
import re
from datetime import timedelta
from pathlib import Path

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import (
    DAG,
    Asset,
    AssetOrTimeSchedule,
    CronTriggerTimetable,
    ObjectStoragePath,
    Param,
    RetryDecision,
    RetryPolicy,
    TriggerRule,
    task,
)

HOME = Path(os.environ.get("CAPTIONER_HOME", Path(__file__).resolve().parent.parent))
RETRY_DELAY = timedelta(seconds=float(os.environ.get("CAPTIONER_RETRY_SECONDS", "60")))
PHOTOS = Asset("captioner_photos", uri="captioner://photos")

PARAMS = {
    "config": Param(
        os.environ.get("CAPTIONER_CONFIG", str(HOME / "conf" / "local.yaml")),
        type="string",
        title="Configuration file",
        description="YAML file that every job reads with --config.",
    ),
    "runs": Param(
        os.environ.get("CAPTIONER_RUNS", str(HOME / "data" / "runs")),
        type="string",
        title="Folder of the runs",
        description="Path or URI (paths.runs) that Spark and Airflow can both read and write. Each folder has its own champion.",
    ),
    "overrides": Param(
        [],
        type=["array", "null"],
        items={"type": "string", "pattern": r"^(?!run=|run\.id=|paths\.runs=)[\w.]+=.*$"},
        title="Overrides",
        description="key=value settings that override the configuration file, one per line; for example train.epochs=5.",
    ),
    "recompute_features": Param(
        False,
        type="boolean",
        title="Extract all features again",
        description="Compute the feature of every photo, not only of new and changed ones.",
    ),
    "train_anyway": Param(
        False,
        type="boolean",
        title="Train even if nothing is new",
        description="Train even if the same tables and settings have been trained on and judged before.",
    ),
    "gate_margin": Param(
        None,
        type=["number", "null"],
        minimum=0,
        maximum=1,
        title="Gate margin",
        description="BLEU-4, from 0 to 1, by which the challenger must beat the champion; empty: as configured (gate.margin).",
    ),
}
TIMEOUTS = {
    "extract_features": timedelta(hours=12),
    "tokenize_captions": timedelta(hours=2),
    "build_examples": timedelta(hours=4),
    "train": timedelta(hours=48),
    "evaluate": timedelta(hours=4),
    "gate": timedelta(hours=4),
}


class NotForWrongInput(RetryPolicy):
    """Fails a task without a retry if its job ended with exit code 2, because the same configuration and input fail again."""

    def evaluate(self, exception, try_number, max_tries, context=None) -> RetryDecision:
        if re.search(r"Error code is: 2\b", str(exception)):
            return RetryDecision.fail(
                "the configuration or an input is wrong; the last lines of the log name it and the remedy"
            )
        return RetryDecision.default()

    def serialize(self) -> dict:
        return {}

    @classmethod
    def deserialize(cls, data: dict) -> NotForWrongInput:
        return cls()


def run_of(dag_run) -> str:
    """The run.id of a DAG run, the same for all its tasks and tries."""
    return "retrain_" + re.sub(r"[^A-Za-z0-9.-]+", "-", dag_run.run_id)


def arguments(job: str, params: dict, dag_run, try_number: int) -> list[str]:
    """The arguments of a job. Settings that the DAG decides come last, so that they cannot be overridden."""
    extra = {
        "extract_features": [f"extractor.recompute={str(params['recompute_features']).lower()}"],
        # The driver of a killed task may still run and hold the run.
        "train": [f"recovery.take_over={str(try_number > 1).lower()}"],
        "gate": [] if params["gate_margin"] is None else [f"gate.margin={params['gate_margin']}"],
    }
    settings = [
        *(params["overrides"] or []),
        *extra.get(job, []),
        f"paths.runs={params['runs']}",
        f"run.id={run_of(dag_run)}",
    ]
    return ["--config", params["config"], *settings]


def folder_of(params: dict, dag_run) -> ObjectStoragePath:
    return ObjectStoragePath(params["runs"]) / run_of(dag_run)


def submit(job: str) -> SparkSubmitOperator:
    """The task that runs a job. Its documentation is the job's docstring."""
    script = HOME / "jobs" / f"{job}.py"
    return SparkSubmitOperator(
        task_id=job,
        name=f"retrain_captioner.{job}",
        application=str(script),
        application_args=f"{{{{ arguments('{job}', params, dag_run, ti.try_number) }}}}",
        py_files=os.environ.get("CAPTIONER_PY_FILES"),
        conf={"spark.dynamicAllocation.enabled": "false"} if job == "train" else None,
        execution_timeout=TIMEOUTS[job],
        doc_md=ast.get_docstring(ast.parse(script.read_text())),
    )


with DAG(
    "retrain_captioner",
    description="Extract, train and judge a challenger; promote it or keep the champion",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("0 3 * * 1", timezone="UTC"), assets=[PHOTOS]),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=72),
    params=PARAMS,
    default_args={
        "retries": 3,
        "retry_delay": RETRY_DELAY,
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=30),
        "retry_policy": NotForWrongInput(),
    },
    render_template_as_native_obj=True,  # application_args is a list
    user_defined_macros={"arguments": arguments},
    tags=["captioner"],
) as dag:

    @task.branch(execution_timeout=timedelta(minutes=5))
    def anything_new(params: dict, dag_run) -> str:
        """Continues with training, unless the same tables and settings have been trained on and judged before."""
        training = json.loads((folder_of(params, dag_run) / "build_examples.json").read_text())["metrics"]["training"]
        judged = ObjectStoragePath(params["runs"]) / "_judged" / f"{training}.json"
        if params["train_anyway"] or not judged.exists():
            return "train"
        print(
            f"nothing new: no table has changed since the run {json.loads(judged.read_text())['run']} was trained and judged"
        )
        return "publish"

    @task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, execution_timeout=timedelta(minutes=5))
    def publish(params: dict, dag_run) -> str:
        """Writes the report of the run from the jobs' JSON lines to `report/retraining.md` in its folder; returns the path."""
        from retraining_report import report

        folder = folder_of(params, dag_run)
        lines = [json.loads(path.read_text()) for path in folder.glob("*.json")]
        text = report(run_of(dag_run), [line for line in lines if "job" in line])
        (folder / "report").mkdir(parents=True, exist_ok=True)
        (folder / "report" / "retraining.md").write_text(text)
        print(text)
        return str(folder / "report" / "retraining.md")

    prepared = [submit("extract_features"), submit("tokenize_captions")] >> submit("build_examples")
    decided, published = anything_new(), publish()
    prepared >> decided >> [submit("train"), published]
    dag.get_task("train") >> submit("evaluate") >> submit("gate") >> published
