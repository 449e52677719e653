"""Logs a run's metrics to an MLflow server, if one is configured. Problems with it never stop training."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from conf.schema import Tracking
from jobs.driver.runs.registry import read_json, write_json
from udfs.engine.events import Epoch, Event
from udfs.engine.metrics import EpochMetrics
from udfs.errors import message_line
from udfs.run_folder import RunFolder

LOG = logging.getLogger("train")
QUOTED = 200  # characters of the client's message
LONGEST_VALUE = 500  # characters of a parameter that MLflow stores


def mlflow_logger(
    settings: Tracking, folder: RunFolder, run_id: str, parameters: dict[str, Any]
) -> Callable[[Event], None] | None:
    """A function that logs the epochs among a gang's events, or None if no server is configured or it cannot be used.

    Args:
        folder: The run's folder, which keeps the MLflow run's id, so that a resumed training continues in it.
        run_id: The name of a new MLflow run.
        parameters: The parameters of a new MLflow run.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "none") if settings.mlflow == "auto" else settings.mlflow
    if uri == "none":
        return None
    try:
        run = _MlflowRun(uri, settings.experiment, folder, run_id, parameters)
    except Exception as error:  # the client raises errors of many transports
        LOG.warning(
            "tracking.mlflow: %s cannot be used (%s); training continues without it", uri, message_line(error, QUOTED)
        )
        return None

    def log(event: Event) -> None:
        if not isinstance(event, Epoch) or event.rank != 0:
            return
        try:
            run.log(event.metrics)
        except Exception as error:
            LOG.warning(
                "tracking.mlflow: epoch %d was not logged (%s)", event.metrics.epoch, message_line(error, QUOTED)
            )

    return log


class _MlflowRun:
    """A run on an MLflow server, created or found again."""

    def __init__(self, uri: str, experiment: str, folder: RunFolder, run_id: str, parameters: dict[str, Any]):
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        known = read_json(folder.mlflow) or {}
        self._id = known["run_id"] if known.get("uri") == uri else self._create(experiment, run_id, parameters)
        write_json(folder.mlflow, {"uri": uri, "run_id": self._id})

    def log(self, epoch: EpochMetrics) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        # MLflow's names may contain slashes, and its run page groups by them.
        metrics = [Metric(name, float(value), now, epoch.epoch) for name, value in epoch.scalars().items()]
        self._client.log_batch(self._id, metrics=metrics)

    def _create(self, experiment: str, run_id: str, parameters: dict[str, Any]) -> str:
        from mlflow.entities import Param

        existing = self._client.get_experiment_by_name(experiment)
        number = existing.experiment_id if existing else self._client.create_experiment(experiment)
        run: str = self._client.create_run(number, run_name=run_id).info.run_id
        texts = {key: str(value)[:LONGEST_VALUE] for key, value in parameters.items()}
        self._client.log_batch(run, params=[Param(key, text) for key, text in texts.items()])
        return run
