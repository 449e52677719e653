"""Whether Spark's JVM can open files with names beyond ASCII, which depends on the locale that it was started in."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import SparkSession

from udfs.errors import InputError

ADVICE = "start the job with LC_ALL=C.UTF-8 in its environment, on a cluster also in that of the executors"


def file_name_encoding(spark: SparkSession) -> str:
    """The encoding that the driver's JVM uses for the names of local files: UTF-8, ANSI_X3.4-1968 (ASCII), ..."""
    return str(spark.sparkContext._jvm.java.lang.System.getProperty("sun.jnu.encoding"))


def can_encode(name: str, encoding: str) -> bool:
    """Whether a JVM with this file-name encoding can open a file of this name."""
    try:
        name.encode(encoding)
    except UnicodeEncodeError:
        return False
    except LookupError:  # an encoding that Python does not know
        return name.isascii()
    return True


def require_unicode_file_names(spark: SparkSession, names: Iterable[str] = ("é",)) -> None:
    """Checks that the JVM can open files of these names; without it, Spark's listings leave such files out.

    Args:
        names: The names that a listing by Python found; by default any name beyond ASCII.

    Raises:
        InputError: The JVM's file-name encoding cannot hold one of the names.
    """
    encoding = file_name_encoding(spark)
    if encoding.upper().replace("-", "") == "UTF8":
        return
    refused = [name for name in names if not can_encode(name, encoding)]
    if refused:
        more = f" and {len(refused) - 1} others" if len(refused) > 1 else ""
        raise InputError(
            f"LC_ALL: found the file name {refused[0]!r}{more}, which Spark's JVM cannot open, because its encoding of file "
            f"names is {encoding}, expected UTF-8; {ADVICE}"
        )
