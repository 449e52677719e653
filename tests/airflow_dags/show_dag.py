"""Prints, as JSON, what Airflow makes of the DAG file. Run by Airflow's Python."""

import json
import os
import sys
from types import SimpleNamespace

from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

REFUSED = {"overrides": ["train.epochs"], "gate_margin": 2, "recompute_features": "perhaps", "config": None}
RESERVED = {"overrides": ["run.id=mine"]}

bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
(dag,) = bag.dags.values()
policy = dag.default_args["retry_policy"]
arguments = sys.modules[type(policy).__module__].arguments
DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))


def accepts(name: str, value) -> bool:
    try:
        dag.params.get_param(name).resolve(value)
    except Exception:
        return False
    return True


def decision(text: str) -> str:
    return policy.evaluate(RuntimeError(f"Cannot execute: spark-submit. Error code is: {text}."), 1, 3).action.value


run = SimpleNamespace(run_id="manual__2026-11-21T08:07:13.9+00:00")
values = {**dag.params.dump(), "overrides": ["train.epochs=3"], "gate_margin": 0.02}
params = [dag.params.get_param(name) for name in values]
json.dump(
    {
        "errors": bag.import_errors,
        "seconds": max(stat.duration.total_seconds() for stat in bag.dagbag_stats),
        "heavy": sorted({"pyspark", "tensorflow", "keras"} & set(sys.modules)),
        "edges": {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks},
        "complete": [
            task.task_id
            for task in dag.tasks
            if task.doc_md and task.execution_timeout and task.retries and task.retry_exponential_backoff
        ],
        "one_at_a_time": dag.max_active_runs == 1 and not dag.catchup,
        "schedule": [
            type(dag.timetable).__name__,
            dag.timetable.timetable.expression,
            *[each.name for each in dag.timetable.asset_condition.objects],
        ],
        "described": all(param.schema.get("type") and param.description for param in params),
        "refused": [name for name, value in REFUSED.items() if not accepts(name, value)],
        "reserved": not accepts("overrides", RESERVED["overrides"]),
        "accepted": [name for name, value in values.items() if accepts(name, value)],
        "arguments": {job: arguments(job, values, run, 1) for job in ("extract_features", "train", "gate")},
        "retried": arguments("train", {**values, "overrides": None}, run, 2),
        "after_code": {code: decision(code) for code in ("1", "2", "-9")},
    },
    sys.stdout,
)
