"""A table of plain Parquet whose versions are immutable folders.

    features/
        data/<unique name>/*.parquet    one folder a version, never changed once written
        versions/00000003.json          {"folder", "provenance", "schema"}; creating this file commits version 3
        _current                        "3", replaced last

The file of a version is created exclusively: if two writers start from the same version, one of them creates the next
version and the other starts again from it. If a writer dies before it replaces `_current`, the next writer does that.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from jobs.driver.spark.hadoop_files import HadoopFiles
from jobs.driver.tables.condition import Condition, as_column
from jobs.driver.tables.store import Provenance

ATTEMPTS = 5


class ParquetStore:
    """A `TableStore` in a folder, local or on any file system that Hadoop knows."""

    def __init__(self, spark: SparkSession, path: str):
        self.spark, self.path, self.storage = spark, path, HadoopFiles(spark)

    def version(self) -> int | None:
        try:
            return int(self.storage.read_text(f"{self.path}/_current"))
        except FileNotFoundError:
            return None

    def provenance(self, version: int | None = None) -> dict[str, Any]:
        version = self.version() if version is None else version
        return {} if version is None else dict(self._entry(version)["provenance"])

    def read(self, version: int | None = None) -> DataFrame:
        version = self.version() if version is None else version
        if version is None:
            raise FileNotFoundError(f"{self.path}: found no table, expected one; run the job that writes it")
        entry, reader = self._entry(version), self.spark.read
        if "schema" in entry:  # without one, Spark would read the partition "007" of a text column as a number
            reader = reader.schema(StructType.fromJson(entry["schema"]))
        return reader.parquet(f"{self.path}/data/{entry['folder']}")

    def replace(
        self,
        rows: DataFrame,
        provenance: Provenance,
        where: Condition | None = None,
        partition_by: Sequence[str] = (),
        options: Mapping[str, str] | None = None,
    ) -> int:
        def merged(base: int | None) -> DataFrame:
            if not where or base is None:
                return rows
            return self.read(base).where(~as_column(where)).unionByName(rows)

        return self._commit(merged, provenance, partition_by, options or {})

    def upsert(self, rows: DataFrame, keys: Sequence[str], provenance: Provenance, tombstone: str) -> int:
        remaining = rows.where(F.col(tombstone).isNotNull())

        def merged(base: int | None) -> DataFrame:
            if base is None:
                return remaining
            return self.read(base).join(rows, list(keys), "left_anti").unionByName(remaining)

        return self._commit(merged, provenance, (), {})

    def clean(self, before: float, keep: set[int], apply: bool) -> int:
        """See `TableStore.clean`. Also deletes the data of writers that never committed; returns the number of folders."""
        made = {
            int(name[:8]): self.storage.modified(self._entry_path(int(name[:8]))) for name in self._names("versions")
        }
        replaced = {version: made[version + 1] for version in made if version + 1 in made}
        old = [version for version, time in replaced.items() if time < before and version not in keep]
        folders = {version: self._entry(version)["folder"] for version in made}
        orphans = [
            name
            for name in set(self._names("data")) - set(folders.values())
            if self.storage.modified(f"{self.path}/data/{name}") < before
        ]
        if apply:
            for version in old:
                self.storage.delete(self._entry_path(version))
            for name in [folders[version] for version in old] + orphans:
                self.storage.delete(f"{self.path}/data/{name}")
        return len(old) + len(orphans)

    def _commit(
        self,
        merged: Callable[[int | None], DataFrame],
        provenance: Provenance,
        partition_by: Sequence[str],
        options: Mapping[str, str],
    ) -> int:
        """Writes `merged(version)`, the new rows on top of a version, as the version after it."""
        for _ in range(ATTEMPTS):
            base = self._completed_version()
            folder, version = uuid.uuid4().hex, (base or 0) + 1
            rows = merged(base)
            rows.write.partitionBy(*partition_by).options(**options).parquet(f"{self.path}/data/{folder}")
            entry = {"folder": folder, "provenance": dict(provenance), "schema": rows.schema.jsonValue()}
            try:
                self.storage.create_text(self._entry_path(version), json.dumps(entry, sort_keys=True))
            except FileExistsError:
                self.storage.delete(f"{self.path}/data/{folder}")
                continue
            self.storage.replace_text(f"{self.path}/_current", str(version))
            self._completed_version()  # another writer may have committed the next version already
            return version
        raise RuntimeError(f"{self.path}: other writers committed first {ATTEMPTS} times in a row; run the job again")

    def _completed_version(self) -> int | None:
        """The newest committed version; updates `_current` if the version's writer died before it did."""
        version = self.version()
        while self.storage.exists(self._entry_path((version or 0) + 1)):
            version = (version or 0) + 1
            self.storage.replace_text(f"{self.path}/_current", str(version))
        return version

    def _names(self, folder: str) -> list[str]:
        return [name for name, _ in self.storage.children(f"{self.path}/{folder}") if not name.startswith((".", "_"))]

    def _entry(self, version: int) -> dict[str, Any]:
        return dict(json.loads(self.storage.read_text(self._entry_path(version))))

    def _entry_path(self, version: int) -> str:
        return f"{self.path}/versions/{version:08d}.json"
