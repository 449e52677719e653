"""Where jobs/caption.py leaves its captions: a Delta table, or a folder of Parquet, CSV or JSON.

What the job finds at that place and did not make itself, it never touches.
"""

from __future__ import annotations

import json
import os
import re

from pyspark.sql import DataFrame, SparkSession

from jobs.driver.spark.hadoop_files import Storage, absolute
from jobs.driver.tables.delta import DeltaStore
from udfs.errors import InputError

SCHEMA = "photo string, caption string, reason string, details string, content_hash string, made_by string"
MARK = "_captions.json"  # Spark's readers pass over names with an underscore
# RFC 4180, and names kept as they are; by default Spark trims them and escapes quotes with backslashes.
PLAIN = {"ignoreLeadingWhiteSpace": "false", "ignoreTrailingWhiteSpace": "false"}
OPTIONS = {"csv": {"header": "true", "escape": '"', "multiLine": "true", **PLAIN}, "json": {}, "parquet": {}}
OURS = {"job": "caption"}


def caption_output(spark: SparkSession, place: str, form: str) -> DeltaOutput | FileOutput:
    """The output at a place in a format. Raises InputError where something else is there already."""
    if form == "delta":
        return DeltaOutput(spark, place)
    return FileOutput(spark, absolute(place).rstrip("/"), form)


class DeltaOutput:
    """A Delta table, by path or by `catalog.schema.table`; each change of the captions is a version."""

    def __init__(self, spark: SparkSession, place: str):
        named = re.fullmatch(r"\w+(\.\w+){1,2}", place)
        self.place = place if named else absolute(place).rstrip("/")
        self.table = DeltaStore(spark, self.place)
        there = self.table.version() is not None
        if there and self.table.provenance() != OURS:
            raise occupied(self.place)
        if not there and not named:
            require_empty(Storage(spark), self.place)

    def read(self) -> DataFrame | None:
        return None if self.table.version() is None else self.table.read()

    def replace(self, rows: DataFrame) -> None:
        self.table.replace(rows.coalesce(1), OURS)


class FileOutput:
    """A folder with one file of captions, written aside and then moved into place."""

    def __init__(self, spark: SparkSession, place: str, form: str):
        self.spark, self.place, self.form, self.storage = spark, place, form, Storage(spark)
        try:
            self.mark = json.loads(self.storage.read_text(f"{place}/{MARK}"))
        except FileNotFoundError:
            self.mark = None
            require_empty(self.storage, place)

    def read(self) -> DataFrame | None:
        if self.mark is None or self.mark["format"] != self.form:
            return None
        return self.spark.read.format(self.form).schema(SCHEMA).options(**OPTIONS[self.form]).load(self.place)

    def replace(self, rows: DataFrame) -> None:
        aside, before = (f"{self.place}.{os.urandom(6).hex()}.{kind}" for kind in ("tmp", "old"))
        options = {key: value for key, value in OPTIONS[self.form].items() if key != "multiLine"}
        rows.coalesce(1).write.format(self.form).options(**options).save(aside)
        self.mark = {"format": self.form}
        self.storage.create_text(f"{aside}/{MARK}", json.dumps(self.mark))
        there = self.storage.exists(self.place)
        if there:
            self.storage.rename(self.place, before)
        self.storage.rename(aside, self.place)
        if there:
            self.storage.delete(before)


def require_empty(storage: Storage, place: str) -> None:
    if storage.exists(place) and (not storage.is_folder(place) or storage.children(place)):
        raise occupied(place)


def occupied(place: str) -> InputError:
    return InputError(
        f"caption.output: found something in {place} that jobs/caption.py did not make, expected an empty place or its own "
        "earlier captions; give another one"
    )
