"""What a table offers, whatever its format: numbered versions, each with a note of what it was made from.

`DeltaStore` and `ParquetStore` implement the protocol; `Warehouse.table` returns one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pyspark.sql import DataFrame

from jobs.driver.tables.condition import Condition

Provenance = Mapping[str, Any]


class TableStore(Protocol):
    """A table whose every write is one commit that makes a new version.

    When another writer commits first, a write starts again from that writer's rows, a few times; then it raises
    RuntimeError. A failed write leaves the table as it was.
    """

    def version(self) -> int | None:
        """Returns the number of the current version, or None if there is no table yet."""

    def provenance(self, version: int | None = None) -> dict[str, Any]:
        """Returns what the writer of a version recorded about its inputs.

        Args:
            version: A version's number; the current version by default.

        Returns:
            The dictionary that was given to `replace` or `upsert`; empty if there is no table or another tool wrote it.
        """

    def read(self, version: int | None = None) -> DataFrame:
        """Returns the rows of a version, by default of the current one."""

    def replace(
        self,
        rows: DataFrame,
        provenance: Provenance,
        where: Condition | None = None,
        partition_by: Sequence[str] = (),
        options: Mapping[str, str] | None = None,
    ) -> int:
        """Replaces all rows, or those that match a condition, in one commit.

        Args:
            rows: The new rows. With `where`, each of them must match the condition.
            provenance: What the rows were made from, as JSON values.
            where: Values that columns of the replaced rows have, such as `{"run_id": "r1", "split": "test"}`.
            partition_by: Names of the columns that the files are partitioned by.
            options: Options of Spark's writer.

        Returns:
            The number of the version that was written.
        """

    def upsert(self, rows: DataFrame, keys: Sequence[str], provenance: Provenance, tombstone: str) -> int:
        """Replaces the rows with equal keys, adds new ones, and deletes others, in one commit.

        Args:
            rows: The new rows, at most one for each key.
            keys: Names of the columns that identify a row; never null.
            provenance: What the rows were made from, as JSON values.
            tombstone: A column of `rows`. Where it is null, the row with these keys is deleted.

        Returns:
            The number of the version that was written.
        """

    def clean(self, before: float, keep: set[int], apply: bool) -> int:
        """Deletes data of versions that were replaced before a given time.

        Args:
            before: Seconds since 1970. What was current at that time or later stays readable.
            keep: Versions that stay readable in any case.
            apply: False to count only.

        Returns:
            The number of files or folders to delete.
        """
