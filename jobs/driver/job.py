"""What every job works with: its settings, a Spark session, the tables and a logger."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import SparkSession

from conf import Settings
from jobs.driver.spark.session import open_session
from jobs.driver.tables.warehouse import Warehouse


@dataclass
class Job:
    """A job's name and settings, and its Spark session and tables, which are opened when they are first used.

    Example:
        >>> job = Job("evaluate", conf.load(None, ["run.id=latest"]))
        >>> job.warehouse.table("predictions").version()
        3
    """

    name: str
    settings: Settings

    @cached_property
    def spark(self) -> SparkSession:
        return open_session(self.name, self.settings)

    @cached_property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.spark, self.settings.paths.warehouse, self.settings.storage.format)

    @cached_property
    def log(self) -> logging.Logger:
        """The job's logger, which passes on messages from the severity `log.level` on."""
        log = logging.getLogger(self.name)
        log.setLevel(self.settings.log.level.upper())
        return log

    def in_same_session(self, name: str, settings: Settings) -> Job:
        """Another job with other settings, which uses this one's Spark session."""
        other = Job(name, settings)
        other.spark = self.spark
        return other

    def close(self) -> None:
        """Stops the Spark session, except on Databricks, where the cluster owns it."""
        session = SparkSession.getActiveSession()
        if session is not None and "DATABRICKS_RUNTIME_VERSION" not in os.environ:
            session.stop()
