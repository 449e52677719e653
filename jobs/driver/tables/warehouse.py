"""The warehouse: named tables, in Delta's format by default or in Parquet, whose every version can be read again.

See `jobs.driver.tables.store.TableStore` for what both formats offer.
"""

from __future__ import annotations

import copy
import os
import re

from pyspark.sql import SparkSession

from jobs.driver.spark.hadoop_files import HadoopFiles, absolute
from jobs.driver.tables.delta import DeltaStore
from jobs.driver.tables.parquet import ParquetStore
from jobs.driver.tables.store import TableStore
from udfs.errors import InputError

CATALOG_SCHEMA = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*")


class Warehouse:
    """The tables in a folder or in a catalog's schema.

    Args:
        spark: The session that reads and writes them.
        location: A path or URI (`data/warehouse`, `s3a://...`), or a schema (`catalog.schema`).
        table_format: `delta` or `parquet`.

    Raises:
        InputError: The folder is not writable, or the location is a schema and the format is not `delta`.
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
        """Returns a view of the warehouse that adds a prefix to every table's name."""
        other = copy.copy(self)
        other.prefix = self.prefix + prefix
        return other

    def table(self, name: str) -> TableStore:
        """Returns a table by its name, whether it exists or not."""
        name = self.prefix + name
        if self.format == "parquet":
            return ParquetStore(self.spark, f"{self.location}/{name}")
        return DeltaStore(self.spark, f"{self.location}.{name}" if self.in_catalog else f"{self.location}/{name}")

    def require(self, name: str, maker: str) -> TableStore:
        """Returns a table that must exist.

        Args:
            name: The table's name.
            maker: The job that writes the table, for the error message.

        Raises:
            InputError: There is no such table.
        """
        table = self.table(name)
        if table.version() is None:
            raise InputError(
                f"table {name}: not found in {self.location} as {self.format}; run jobs/{maker}.py first "
                "with the same configuration"
            )
        return table

    def _require_writable(self) -> None:
        storage, probe = HadoopFiles(self.spark), f"{self.location}/_writable.{os.urandom(6).hex()}"
        try:
            storage.make_folder(self.location)
            storage.create_text(probe, "")
            storage.delete(probe)
        except OSError as error:
            raise InputError(
                f"paths.warehouse: cannot write to {self.location} ({error}); make it writable or set paths.warehouse"
            ) from error
