"""Tables with features: those of earlier versions, which held arrays of 32-bit floats, are found and refused."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql.types import BinaryType

from jobs.driver.job import Job
from udfs.errors import InputError
from udfs.vision.features import FEATURE

REPLACE = "run jobs/extract_features.py with extractor.recompute=true, which replaces the table"


def holds_cells(rows: DataFrame) -> bool:
    """Whether the features are stored as `udfs.vision.features` describes, and not as an earlier version did."""
    return isinstance(rows.schema[FEATURE].dataType, BinaryType)


def require_cells(rows: DataFrame, table: str, remedy: str = REPLACE) -> DataFrame:
    """Returns the rows of a table with features.

    Args:
        rows: The rows.
        table: The table's name.
        remedy: How the table is made again.

    Raises:
        InputError: An earlier version wrote them.
    """
    if not holds_cells(rows):
        found = rows.schema[FEATURE].dataType.simpleString()
        raise InputError(
            f"table {table}: found the column {FEATURE} as {found}, expected binary (16-bit floats); an earlier version wrote "
            f"it: {remedy}"
        )
    return rows


def log_replaced(job: Job, table: str) -> None:
    """Logs which features are lost to later versions of a table that is replaced, and where they stay."""
    store = job.warehouse.table(table)
    counts = store.read().groupBy("extractor").count().orderBy("extractor").collect()
    listed = ", ".join(f"{row['count']} of {row.extractor}" for row in counts)
    job.log.warning(
        f"table {job.warehouse.prefix}{table}: replaced, because an earlier version wrote it; its features ({listed}) stay in "
        f"version {store.version()}"
    )
