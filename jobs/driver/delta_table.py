"""A table kept by Delta Lake, addressed by path or by `catalog.schema.table`."""

from __future__ import annotations

import json
from contextlib import contextmanager

from pyspark.sql import DataFrame, SparkSession

USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


class DeltaStore:
    def __init__(self, spark: SparkSession, address: str):
        self.spark, self.address = spark, address
        self.by_path = "/" in address

    def version(self) -> int | None:
        return self._latest()["version"] if self._exists() else None

    def provenance(self) -> dict:
        text = self._latest()["userMetadata"] if self._exists() else None
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
        writer = rows.write.format("delta").mode("overwrite").partitionBy(*partition_by).options(**(options or {}))
        if where and self._exists():
            writer = writer.option("replaceWhere", where)
        elif self._exists():
            writer = writer.option("overwriteSchema", "true")
        with self._noted(provenance):
            if self.by_path:
                writer.save(self.address)
            else:
                writer.saveAsTable(self.address)
        return self.version()

    def upsert(self, rows: DataFrame, keys: list[str], provenance: dict, tombstone: str) -> int:
        if not self._exists():
            return self.replace(rows.where(f"{tombstone} IS NOT NULL"), provenance)
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
        return self.version()

    def _exists(self) -> bool:
        from delta.tables import DeltaTable

        if self.by_path:
            return DeltaTable.isDeltaTable(self.spark, self.address)
        return self.spark.catalog.tableExists(self.address)

    def _table(self):
        from delta.tables import DeltaTable

        by = DeltaTable.forPath if self.by_path else DeltaTable.forName
        return by(self.spark, self.address)

    def _latest(self):
        return self._table().history(1).select("version", "userMetadata").first()

    @contextmanager
    def _noted(self, provenance: dict):
        self.spark.conf.set(USER_METADATA, json.dumps(provenance, sort_keys=True))
        try:
            yield
        finally:
            self.spark.conf.unset(USER_METADATA)
