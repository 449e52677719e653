"""The quarantine table: which inputs a job refused, and why.

A job's rows are the inputs that its last run refused. Once an input is corrected, the job's next run removes its row; the
table's earlier versions keep it.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.job import Job
from jobs.driver.tables.condition import as_column

COLUMNS = ["source", "key", "reason", "details"]


def quarantine(job: Job, refused: DataFrame) -> int:
    """Replaces the job's rows in the quarantine table, unless they are the same already.

    Args:
        job: The job that refused the inputs.
        refused: One row for each input: source, key, reason, details. It is evaluated several times, so persist it if
            that is expensive.

    Returns:
        The number of refused inputs.
    """
    rows = refused.select(*COLUMNS)
    count = rows.count()
    table, job_rows = job.warehouse.table("quarantine"), {"job": job.name}
    if table.version() is None:
        unchanged = count == 0
    else:
        earlier = table.read().where(as_column(job_rows)).select(*COLUMNS)
        unchanged = earlier.count() == count and earlier.exceptAll(rows).isEmpty()
    if not unchanged:
        stamped = rows.withColumns({"job": F.lit(job.name), "time": F.current_timestamp()})
        table.replace(stamped, {}, where=job_rows, partition_by=["job"])
    return count
