"""A table kept by Delta Lake, addressed by path or by `catalog.schema.table`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from jobs.driver.spark.session import spark_settings
from jobs.driver.tables.condition import Condition, as_sql
from jobs.driver.tables.store import Provenance

if TYPE_CHECKING:
    from delta.tables import DeltaTable

USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
LAST_COMMIT = "spark.databricks.delta.lastCommitVersionInSession"
# The log of a version that a promoted run was trained on must outlive Delta's 30 days; jobs/clean.py bounds the data.
KEEP_LOG = {"delta.logRetentionDuration": "interval 3650 days"}
VACUUM_SETTINGS = {
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",  # jobs/clean.py knows which versions are needed
    "spark.databricks.delta.vacuum.logging.enabled": "false",  # a version without new rows would look like new data
}
ATTEMPTS = 5


class DeltaStore:
    """A `TableStore` over a Delta table. A version's provenance is its commit's user metadata, as JSON.

    Args:
        spark: A session with Delta's extension and catalog.
        address: A path or URI (anything with a slash), or a name `catalog.schema.table`.
    """

    def __init__(self, spark: SparkSession, address: str):
        self.spark, self.address = spark, address
        self.by_path = "/" in address

    def version(self) -> int | None:
        return int(self._commit()["version"]) if self._exists() else None

    def provenance(self, version: int | None = None) -> dict[str, Any]:
        text = self._commit(version)["userMetadata"] if self._exists() else None
        try:
            return dict(json.loads(text)) if text else {}
        except (TypeError, ValueError):  # another tool's commit
            return {}

    def read(self, version: int | None = None) -> DataFrame:
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.address) if self.by_path else reader.table(self.address)

    def replace(
        self,
        rows: DataFrame,
        provenance: Provenance,
        where: Condition | None = None,
        partition_by: Sequence[str] = (),
        options: Mapping[str, str] | None = None,
    ) -> int:
        return self._with_retries(lambda: self._overwrite(rows, provenance, where, partition_by, options or {}))

    def upsert(self, rows: DataFrame, keys: Sequence[str], provenance: Provenance, tombstone: str) -> int:
        return self._with_retries(lambda: self._merge(rows, keys, provenance, tombstone))

    def clean(self, before: float, keep: set[int], apply: bool) -> int:
        """See `TableStore.clean`. Returns at most 1,000, the number of files that Delta lists.

        Delta keeps everything after one point in time, in whole hours, so the oldest version in `keep` decides.
        """
        hours = max(0, math.ceil((time.time() - before) / 3600 - 0.01))
        for row in self._table().history().select("version", F.unix_timestamp("timestamp").alias("made")).collect():
            if row.version in keep:
                hours = max(hours, math.ceil((time.time() - row.made) / 3600) + 1)
        name = "delta.`" + self.address.replace("`", "``") + "`" if self.by_path else self.address
        vacuum = f"VACUUM {name} RETAIN {hours} HOURS"
        # Delta lists a table's folders in as many tasks, by default 10,000, which take 40 s for a table of three files.
        tasks = str(max(8, 4 * self.spark.sparkContext.defaultParallelism))
        settings = {**VACUUM_SETTINGS, "spark.sql.sources.parallelPartitionDiscovery.parallelism": tasks}
        with spark_settings(self.spark, settings):
            count = self.spark.sql(f"{vacuum} DRY RUN").count()
            if apply and count:
                self.spark.sql(vacuum)
        return count

    def _overwrite(
        self,
        rows: DataFrame,
        provenance: Provenance,
        where: Condition | None,
        partition_by: Sequence[str],
        options: Mapping[str, str],
    ) -> int:
        writer = rows.write.format("delta").mode("overwrite").partitionBy(*partition_by).options(**options)
        if not self._exists():
            writer = writer.options(**KEEP_LOG)
        elif where:
            writer = writer.option("replaceWhere", as_sql(where))
        else:
            writer = writer.option("overwriteSchema", "true")
        if self.by_path:
            return self._committed(lambda: writer.save(self.address), provenance)
        return self._committed(lambda: writer.saveAsTable(self.address), provenance)

    def _merge(self, rows: DataFrame, keys: Sequence[str], provenance: Provenance, tombstone: str) -> int:
        if not self._exists():
            return self._overwrite(rows.where(F.col(tombstone).isNotNull()), provenance, None, (), {})
        deleted = F.col(f"new.{tombstone}").isNull()
        merge = (
            self._table()
            .alias("old")
            .merge(rows.alias("new"), reduce(and_, (F.col(f"old.{key}") == F.col(f"new.{key}") for key in keys)))
            .whenMatchedDelete(deleted)
            .whenMatchedUpdateAll()
            .whenNotMatchedInsertAll(~deleted)
        )
        return self._committed(merge.execute, provenance)

    def _with_retries(self, write: Callable[[], int]) -> int:
        """Repeats a write that conflicts with another writer's commit, on the rows of that commit."""
        from delta.exceptions import __all__ as names
        from delta.exceptions import captured  # importing it teaches pyspark these exceptions

        conflicts = tuple(getattr(captured, name) for name in names)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return write()
            except conflicts as error:
                if attempt == ATTEMPTS:
                    raise RuntimeError(
                        f"{self.address}: other writers committed first {ATTEMPTS} times in a row; run the job again"
                    ) from error
        raise AssertionError("unreachable")

    def _committed(self, write: Callable[[], Any], provenance: Provenance) -> int:
        """Executes a write and returns the version that it made, which may not be the table's newest any more."""
        self.spark.conf.unset(LAST_COMMIT)  # Delta sets it at each commit
        with spark_settings(self.spark, {USER_METADATA: json.dumps(dict(provenance), sort_keys=True)}):
            write()
        version = self.spark.conf.get(LAST_COMMIT, None)
        return int(self._commit()["version"] if version is None else version)

    def _exists(self) -> bool:
        from delta.tables import DeltaTable

        if self.by_path:
            return DeltaTable.isDeltaTable(self.spark, self.address)
        return self.spark.catalog.tableExists(self.address)

    def _table(self) -> DeltaTable:
        from delta.tables import DeltaTable

        by = DeltaTable.forPath if self.by_path else DeltaTable.forName
        return by(self.spark, self.address)

    def _commit(self, version: int | None = None) -> Row:
        """The commit that made a version, by default the current one."""
        history = self._table().history(1) if version is None else self._table().history()
        if version is not None:
            history = history.where(F.col("version") == version)
        commit = history.select("version", "userMetadata").first()
        if commit is None:
            raise ValueError(f"{self.address}: found no version {version} in the table's history; use one it lists")
        return commit
