"""A table kept by Delta Lake, addressed by path or by `catalog.schema.table`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import contextmanager

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
LAST_COMMIT = "spark.databricks.delta.lastCommitVersionInSession"
# The log of a version that a promoted run was trained on must outlive Delta's 30 days; jobs/clean.py bounds the data.
KEEP_LOG = {"delta.logRetentionDuration": "interval 3650 days"}
VACUUM_SETTINGS = {
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",  # jobs/clean.py knows what is needed
    "spark.databricks.delta.vacuum.logging.enabled": "false",  # a new version would look like new data
}
ATTEMPTS = 5


class DeltaStore:
    def __init__(self, spark: SparkSession, address: str):
        self.spark, self.address = spark, address
        self.by_path = "/" in address

    def version(self) -> int | None:
        return self._commit()["version"] if self._exists() else None

    def provenance(self, version: int | None = None) -> dict:
        text = self._commit(version)["userMetadata"] if self._exists() else None
        try:
            return json.loads(text) if text else {}
        except ValueError:  # somebody else's commit
            return {}

    def read(self, version: int | None = None) -> DataFrame:
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.address) if self.by_path else reader.table(self.address)

    def replace(self, rows: DataFrame, provenance: dict, where=None, partition_by=(), options=None) -> int:
        return self._retried(lambda: self._overwrite(rows, provenance, where, partition_by, options or {}))

    def upsert(self, rows: DataFrame, keys: list[str], provenance: dict, tombstone: str) -> int:
        return self._retried(lambda: self._merge(rows, keys, provenance, tombstone))

    def clean(self, before: float, keep: set[int], apply: bool) -> int:
        """Deletes the data files that no version since `before` (seconds since 1970) holds, nor any of `keep`.

        Delta keeps all that came after a moment, in whole hours, so of two old versions the earlier one decides. Returns
        the number of files and folders, at most the 1,000 that Delta lists.
        """
        hours = max(0, math.ceil((time.time() - before) / 3600 - 0.01))
        for row in self._table().history().select("version", F.unix_timestamp("timestamp").alias("made")).collect():
            if row.version in keep:
                hours = max(hours, math.ceil((time.time() - row.made) / 3600) + 1)
        name = f"delta.`{self.address}`" if self.by_path else self.address
        vacuum = f"VACUUM {name} RETAIN {hours} HOURS"
        # Delta lists a table's folders in as many tasks, by default 10,000, which take 40 s for a table of three files.
        tasks = str(max(8, 4 * self.spark.sparkContext.defaultParallelism))
        with self._set({**VACUUM_SETTINGS, "spark.sql.sources.parallelPartitionDiscovery.parallelism": tasks}):
            count = self.spark.sql(f"{vacuum} DRY RUN").count()
            if apply and count:
                self.spark.sql(vacuum)
        return count

    def _overwrite(self, rows: DataFrame, provenance: dict, where, partition_by, options: dict) -> int:
        writer = rows.write.format("delta").mode("overwrite").partitionBy(*partition_by).options(**options)
        if not self._exists():
            writer = writer.options(**KEEP_LOG)
        elif where:
            writer = writer.option("replaceWhere", where)
        else:
            writer = writer.option("overwriteSchema", "true")
        with self._noted(provenance):
            if self.by_path:
                writer.save(self.address)
            else:
                writer.saveAsTable(self.address)
        return self._committed()

    def _merge(self, rows: DataFrame, keys: list[str], provenance: dict, tombstone: str) -> int:
        if not self._exists():
            return self._overwrite(rows.where(f"{tombstone} IS NOT NULL"), provenance, None, (), {})
        same = " AND ".join(f"old.{key} = new.{key}" for key in keys)
        merge = (
            self._table()
            .alias("old")
            .merge(rows.alias("new"), same)
            .whenMatchedDelete(f"new.{tombstone} IS NULL")
            .whenMatchedUpdateAll()
            .whenNotMatchedInsertAll(f"new.{tombstone} IS NOT NULL")
        )
        with self._noted(provenance):
            merge.execute()
        return self._committed()

    def _retried(self, write: Callable[[], int]) -> int:
        """Writes, and again from the winner's rows where another writer's commit came in between."""
        from delta.exceptions import __all__ as names
        from delta.exceptions import captured  # importing it teaches pyspark these exceptions

        conflicts = tuple(getattr(captured, name) for name in names)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return write()
            except conflicts as error:
                if attempt == ATTEMPTS:
                    raise RuntimeError(
                        f"{self.address}: {ATTEMPTS} commits in a row were overtaken by other writers; run the job again"
                    ) from error
        raise AssertionError("unreachable")

    def _committed(self) -> int:
        """The version that was just written; the table's newest may be another writer's by now."""
        version = self.spark.conf.get(LAST_COMMIT, None)
        return self.version() if version is None else int(version)

    def _exists(self) -> bool:
        from delta.tables import DeltaTable

        if self.by_path:
            return DeltaTable.isDeltaTable(self.spark, self.address)
        return self.spark.catalog.tableExists(self.address)

    def _table(self):
        from delta.tables import DeltaTable

        by = DeltaTable.forPath if self.by_path else DeltaTable.forName
        return by(self.spark, self.address)

    def _commit(self, version: int | None = None):
        """The commit that made a version, by default the current one."""
        history = (
            self._table().history(1) if version is None else self._table().history().where(F.col("version") == version)
        )
        return history.select("version", "userMetadata").first()

    @contextmanager
    def _noted(self, provenance: dict):
        self.spark.conf.unset(LAST_COMMIT)
        with self._set({USER_METADATA: json.dumps(provenance, sort_keys=True)}):
            yield

    @contextmanager
    def _set(self, settings: dict[str, str]):
        for key, value in settings.items():
            self.spark.conf.set(key, value)
        try:
            yield
        finally:
            for key in settings:
                self.spark.conf.unset(key)
