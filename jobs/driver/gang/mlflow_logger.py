"""Sends a run's metrics to an MLflow server, where one is configured. Trouble there never stops training."""

from __future__ import annotations

import os
from collections.abc import Callable

from conf.schema import Tracking as TrackingSettings
from jobs.driver.runs.registry import read_json, write_json
from udfs.engine.tensorboard import scalars

LONGEST_VALUE = 500  # characters of a parameter that MLflow stores


def open_tracking(settings: TrackingSettings, folder: str, run_id: str, parameters: dict, say: Callable[[str], None]):
    """A function that logs each epoch among a gang's events, with a run begun or found again; None where nothing tracks."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "none") if settings.mlflow == "auto" else settings.mlflow
    if uri == "none":
        return None
    try:
        run = _MlflowRun(uri, settings.experiment, folder, run_id, parameters)
    except Exception as error:  # of any of the client's many transports
        say(f"tracking.mlflow: {uri} cannot be used ({_brief(error)}); training goes on without it")
        return None

    def log(event: dict) -> None:
        if event["kind"] != "epoch" or event["rank"] != 0:
            return
        try:
            run.log(event)
        except Exception as error:
            say(f"tracking.mlflow: epoch {event['epoch']} was not logged ({_brief(error)})")

    return log


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


class _MlflowRun:
    """A run on an MLflow server; its id is kept in the run folder, so that a resumed training goes on in it."""

    def __init__(self, uri: str, experiment: str, folder: str, run_id: str, parameters: dict):
        from mlflow.tracking import MlflowClient

        self.client = MlflowClient(tracking_uri=uri)
        known = read_json(f"{folder}/mlflow.json") or {}
        self.id = known["run_id"] if known.get("uri") == uri else self._begin(experiment, run_id, parameters)
        write_json(f"{folder}/mlflow.json", {"uri": uri, "run_id": self.id})

    def log(self, line: dict) -> None:
        from mlflow.entities import Metric
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        # MLflow's names allow slashes, and its run page groups by them.
        metrics = [Metric(name, float(value), now, line["epoch"]) for name, value in scalars(line).items()]
        self.client.log_batch(self.id, metrics=metrics)

    def _begin(self, experiment: str, run_id: str, parameters: dict) -> str:
        from mlflow.entities import Param

        found = self.client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self.client.create_experiment(experiment)
        run = self.client.create_run(number, run_name=run_id).info.run_id
        texts = {key: str(value)[:LONGEST_VALUE] for key, value in parameters.items()}
        self.client.log_batch(run, params=[Param(key, text) for key, text in texts.items()])
        return run
