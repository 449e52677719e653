"""Conditions on rows: equality with plain values, as a Column for Spark and as SQL for Delta's `replaceWhere`.

Delta takes that option as SQL text only, and Spark offers no reliable way to render an arbitrary Column as SQL. Jobs need
nothing but equality, so a condition is a mapping from column names to values, rendered here in both forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import and_

from pyspark.sql import Column
from pyspark.sql import functions as F

Condition = Mapping[str, str | int]
"""{column: value}; matches the rows in which every one of the columns has its value. Must not be empty."""


def as_column(condition: Condition) -> Column:
    """Returns the condition as a boolean column that is false, not null, where a column is null."""
    return reduce(and_, (F.col(_identifier(name)).eqNullSafe(F.lit(value)) for name, value in condition.items()))


def as_sql(condition: Condition) -> str:
    """Returns the condition as a SQL expression.

    Example:
        >>> as_sql({"run_id": "it's", "n": 4})
        "`run_id` = 'it\\\\'s' AND `n` = 4"
    """
    return " AND ".join(f"{_identifier(name)} = {_literal(value)}" for name, value in condition.items())


def _identifier(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _literal(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
