"""The output of jobs/caption.py: a Delta table, or a folder of Parquet, CSV or JSON.

The job replaces only its own earlier captions: it never overwrites files or tables that something else made.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, Protocol

from pyspark.sql import DataFrame, SparkSession

from jobs.driver.spark.hadoop_files import HadoopFiles, absolute
from jobs.driver.tables.delta import DeltaStore
from udfs.errors import InputError

SCHEMA = "photo string, caption string, reason string, details string, content_hash string, made_by string"
MARK = "_captions.json"  # Spark's readers ignore names that begin with an underscore
# RFC 4180, and names kept as they are; by default Spark trims them and escapes quotes with backslashes.
UNTRIMMED = {"ignoreLeadingWhiteSpace": "false", "ignoreTrailingWhiteSpace": "false"}
OPTIONS = {"csv": {"header": "true", "escape": '"', "multiLine": "true", **UNTRIMMED}, "json": {}, "parquet": {}}
PROVENANCE = {"job": "caption"}


class CaptionOutput(Protocol):
    """Where captions are written, and read again by the next call of the job."""

    place: str

    def read(self) -> DataFrame | None:
        """Returns the captions of the last call (columns of SCHEMA), or None if there are none in this format."""

    def replace(self, rows: DataFrame) -> None:
        """Replaces the captions, all at once, by rows of SCHEMA."""


def caption_output(spark: SparkSession, place: str, form: str) -> CaptionOutput:
    """Opens an output.

    Args:
        spark: The job's session.
        place: A path or URI; with the format `delta` also `schema.table` or `catalog.schema.table`.
        form: `delta`, `parquet`, `csv` or `json`.

    Raises:
        InputError: Something that jobs/caption.py did not make exists at that place.
    """
    if form == "delta":
        return DeltaOutput(spark, place)
    return FileOutput(spark, absolute(place).rstrip("/"), form)


class DeltaOutput:
    """A Delta table, by path or by name; each change of the captions is a version."""

    def __init__(self, spark: SparkSession, place: str):
        is_name = re.fullmatch(r"\w+(\.\w+){1,2}", place)
        self.place = place if is_name else absolute(place).rstrip("/")
        self.table = DeltaStore(spark, self.place)
        exists = self.table.version() is not None
        if exists and self.table.provenance() != PROVENANCE:
            raise occupied(self.place)
        if not exists and not is_name:
            require_empty(HadoopFiles(spark), self.place)

    def read(self) -> DataFrame | None:
        return None if self.table.version() is None else self.table.read()

    def replace(self, rows: DataFrame) -> None:
        self.table.replace(rows.coalesce(1), PROVENANCE)


class FileOutput:
    """A folder with one file of captions, written under a temporary name and then renamed."""

    def __init__(self, spark: SparkSession, place: str, form: str):
        self.spark, self.place, self.form, self.storage = spark, place, form, HadoopFiles(spark)
        self.mark: dict[str, Any] | None = None
        try:
            self.mark = json.loads(self.storage.read_text(f"{place}/{MARK}"))
        except FileNotFoundError:
            require_empty(self.storage, place)

    def read(self) -> DataFrame | None:
        if self.mark is None or self.mark["format"] != self.form:
            return None
        return self.spark.read.format(self.form).schema(SCHEMA).options(**OPTIONS[self.form]).load(self.place)

    def replace(self, rows: DataFrame) -> None:
        new, old = (f"{self.place}.{os.urandom(6).hex()}.{suffix}" for suffix in ("tmp", "old"))
        options = {key: value for key, value in OPTIONS[self.form].items() if key != "multiLine"}
        rows.coalesce(1).write.format(self.form).options(**options).save(new)
        self.mark = {"format": self.form}
        self.storage.create_text(f"{new}/{MARK}", json.dumps(self.mark))
        exists = self.storage.exists(self.place)
        if exists:
            self.storage.rename(self.place, old)
        self.storage.rename(new, self.place)
        if exists:
            self.storage.delete(old)


def require_empty(storage: HadoopFiles, place: str) -> None:
    """Raises InputError if there is a file, or a folder that is not empty."""
    if storage.exists(place) and (not storage.is_folder(place) or storage.children(place)):
        raise occupied(place)


def occupied(place: str) -> InputError:
    return InputError(
        f"caption.output: found something in {place} that jobs/caption.py did not write, expected an empty place or its own "
        "earlier captions; set caption.output to another place"
    )
