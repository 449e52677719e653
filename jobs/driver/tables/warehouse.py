"""The warehouse: named tables, Delta by default or Parquet, whose every version can be read again.

Both kinds of table offer the same operations:

- `version()`: the number of the current version, or None where there is no table yet;
- `read(version=None)`: the rows of a version, by default the current one;
- `provenance(version=None)`: what a version was made from, as the job that wrote it noted;
- `replace(rows, provenance, where=None, partition_by=(), options={})`: all rows, or those that match a condition, in one commit;
- `upsert(rows, keys, provenance, tombstone)`: replaces the rows of equal keys, adds the new ones, and deletes those whose
  replacement has null in the tombstone column, in one commit;
- `clean(before, keep, apply)`: deletes the data of versions older than a moment, except those to keep.
"""

from __future__ import annotations

import copy
import os
import re

from pyspark.sql import SparkSession

from jobs.driver.spark.hadoop_files import Storage, absolute
from jobs.driver.tables.delta import DeltaStore
from jobs.driver.tables.parquet import ParquetStore
from udfs.errors import InputError

CATALOG_SCHEMA = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*")


class Warehouse:
    """The tables at a path (`data/warehouse`, `s3a://...`) or in a schema (`catalog.schema`).

    Raises InputError where the place cannot be written, or a schema is asked to hold Parquet versions.
    """

    def __init__(self, spark: SparkSession, location: str, table_format: str):
        self.spark, self.format, self.prefix = spark, table_format, ""
        self.in_catalog = bool(CATALOG_SCHEMA.fullmatch(location))
        self.location = location if self.in_catalog else absolute(location).rstrip("/")
        if self.in_catalog and table_format != "delta":
            raise InputError(
                f"paths.warehouse: found the schema {location} with storage.format={table_format}, expected a path; "
                "set storage.format=delta or give a folder"
            )
        if not self.in_catalog:
            self._require_writable()

    def prefixed(self, prefix: str) -> Warehouse:
        """The same warehouse, in which every table's name is taken to begin with a prefix."""
        other = copy.copy(self)
        other.prefix = self.prefix + prefix
        return other

    def table(self, name: str) -> DeltaStore | ParquetStore:
        name = self.prefix + name
        if self.format == "parquet":
            return ParquetStore(self.spark, f"{self.location}/{name}")
        return DeltaStore(self.spark, f"{self.location}.{name}" if self.in_catalog else f"{self.location}/{name}")

    def require(self, name: str, maker: str) -> DeltaStore | ParquetStore:
        """A table that must be there already. Raises InputError that names the job which makes it."""
        table = self.table(name)
        if table.version() is None:
            raise InputError(
                f"table {name}: not found in {self.location} as {self.format}; run jobs/{maker}.py first "
                "with the same configuration"
            )
        return table

    def _require_writable(self) -> None:
        storage, probe = Storage(self.spark), f"{self.location}/_writable.{os.urandom(6).hex()}"
        try:
            storage.make_folder(self.location)
            storage.create_text(probe, "")
            storage.delete(probe)
        except OSError as error:
            raise InputError(
                f"paths.warehouse: cannot write to {self.location} ({error}); make it writable or set paths.warehouse"
            ) from error
