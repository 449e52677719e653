"""The quarantine table: which inputs a job refused, and why.

A job's rows show what its last run refused; an input that was mended disappears from them at the next run (and stays in
the table's earlier versions).
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

COLUMNS = ["source", "key", "reason", "details"]


def quarantine(job, refused: DataFrame) -> int:
    """Makes `refused` (source, key, reason, details) the rows of this job, if they are not already; returns their number.

    `refused` is evaluated several times: persist it where that is expensive.
    """
    rows = refused.select(*COLUMNS)
    count = rows.count()
    table, mine = job.warehouse.table("quarantine"), f"job = '{job.name}'"
    if table.version() is None:
        known = None if count else 0
    else:
        earlier = table.read().where(mine).select(*COLUMNS)
        known = earlier.count() if earlier.exceptAll(rows).isEmpty() else None
    if known != count:
        stamped = rows.withColumns({"job": F.lit(job.name), "time": F.current_timestamp()})
        table.replace(stamped, {}, where=mine, partition_by=["job"])
    return count
