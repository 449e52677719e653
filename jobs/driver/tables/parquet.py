"""A table of plain Parquet whose versions are immutable folders.

    features/
        data/<unique name>/*.parquet    one folder a version, never changed once written
        versions/00000003.json          {"folder": ..., "provenance": ...}; creating this file commits version 3
        _current                        "3", replaced last

A version's file is created exclusively, so of two writers on the same base one wins and the other starts again from the
winner's rows. A writer that dies between the last two steps leaves a commit that the next one completes.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

from pyspark.sql import DataFrame, SparkSession

from jobs.driver.spark.hadoop_files import Storage

ATTEMPTS = 5


class ParquetStore:
    def __init__(self, spark: SparkSession, path: str):
        self.spark, self.path, self.storage = spark, path, Storage(spark)

    def version(self) -> int | None:
        try:
            return int(self.storage.read_text(f"{self.path}/_current"))
        except FileNotFoundError:
            return None

    def provenance(self, version: int | None = None) -> dict:
        version = self.version() if version is None else version
        return {} if version is None else self._entry(version)["provenance"]

    def read(self, version: int | None = None) -> DataFrame:
        version = self.version() if version is None else version
        if version is None:
            raise FileNotFoundError(f"{self.path}: no table here")
        return self.spark.read.parquet(f"{self.path}/data/{self._entry(version)['folder']}")

    def replace(self, rows: DataFrame, provenance: dict, where=None, partition_by=(), options=None) -> int:
        def merged(base: int | None) -> DataFrame:
            if where is None or base is None:
                return rows
            return self.read(base).where(f"NOT ({where})").unionByName(rows)

        return self._commit(merged, provenance, partition_by, options or {})

    def upsert(self, rows: DataFrame, keys: list[str], provenance: dict, tombstone: str) -> int:
        alive = rows.where(f"{tombstone} IS NOT NULL")

        def merged(base: int | None) -> DataFrame:
            return alive if base is None else self.read(base).join(rows, keys, "left_anti").unionByName(alive)

        return self._commit(merged, provenance, (), {})

    def clean(self, before: float, keep: set[int], apply: bool) -> int:
        """Deletes the versions that were replaced before a moment (seconds since 1970), but none of `keep`, and the data
        of writers that never committed. Returns the number of data folders.
        """
        made = {
            int(name[:8]): self.storage.modified(self._entry_path(int(name[:8]))) for name in self._names("versions")
        }
        replaced = {version: made[version + 1] for version in made if version + 1 in made}
        old = [version for version, moment in replaced.items() if moment < before and version not in keep]
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

    def _commit(self, merged: Callable, provenance: dict, partition_by, options: dict) -> int:
        for _ in range(ATTEMPTS):
            base = self._completed_version()
            folder, version = uuid.uuid4().hex, (base or 0) + 1
            merged(base).write.partitionBy(*partition_by).options(**options).parquet(f"{self.path}/data/{folder}")
            entry = json.dumps({"folder": folder, "provenance": provenance}, sort_keys=True)
            try:
                self.storage.create_text(self._entry_path(version), entry)
            except FileExistsError:
                self.storage.delete(f"{self.path}/data/{folder}")
                continue
            self.storage.replace_text(f"{self.path}/_current", str(version))
            self._completed_version()  # another writer may have been quicker with the next version
            return version
        raise RuntimeError(
            f"{self.path}: {ATTEMPTS} commits in a row were overtaken by other writers; run the job again"
        )

    def _completed_version(self) -> int | None:
        """The newest committed version, after finishing a commit whose writer died before its last step."""
        version = self.version()
        while self.storage.exists(self._entry_path((version or 0) + 1)):
            version = (version or 0) + 1
            self.storage.replace_text(f"{self.path}/_current", str(version))
        return version

    def _names(self, folder: str) -> list[str]:
        return [name for name, _ in self.storage.children(f"{self.path}/{folder}") if not name.startswith((".", "_"))]

    def _entry(self, version: int) -> dict:
        return json.loads(self.storage.read_text(self._entry_path(version)))

    def _entry_path(self, version: int) -> str:
        return f"{self.path}/versions/{version:08d}.json"
