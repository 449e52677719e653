"""Opens caption files, finds their forms from their first lines, and reads them with Spark."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from conf.schema import Corpus as CorpusSettings
from jobs.driver.corpus.forms import form_of
from jobs.driver.corpus.forms.caption import SPLIT_NAMES, Caption, Form, Head, decoded, head_of, split_name, text_lines
from jobs.driver.corpus.forms.columns import Columns
from jobs.driver.corpus.forms.delimited import Delimited, unknown_header
from jobs.driver.corpus.forms.line_pattern import LinePattern
from jobs.driver.environment.file_names import can_encode, file_name_encoding
from jobs.driver.spark.hadoop_files import HadoopFiles, escaped
from udfs.errors import InputError

HEAD_BYTES = 2**16
BATCH = 10_000
SCHEMA = """
    image_id string, caption_no int, text string, split string, line string, joined boolean, position long
"""
SPLIT_IN_NAME = re.compile(
    rf"(?:^|[._-])({'|'.join(sorted({'train', 'dev', 'test', *SPLIT_NAMES}, key=len, reverse=True))})(?=\d|[._-])"
)


@dataclass(frozen=True)
class CaptionFile:
    """A caption file and its form."""

    path: str
    head: Head
    form: Form

    def first_captions(self) -> list[Caption]:
        """The captions of the first lines; none for a document that can only be read as a whole."""
        return list(self.form.parse(self.head.lines[:200])) if self.form.by_line else []

    def first_names(self) -> list[str]:
        """Names of photos at the beginning of the file, with their folders if the form shows them."""
        if self.form.by_line:
            return [caption.image_id for caption in self.first_captions() if caption.image_id]
        return sorted(self.head.photo_names)


def open_caption_file(storage: HadoopFiles, settings: CorpusSettings, path: str) -> tuple[CaptionFile | None, str]:
    """Finds the form of a file from its first 64 KiB.

    Returns:
        The file, or None and the reason why it is no caption file.

    Raises:
        InputError: The encoding or the columns are ambiguous; the message names the key that decides.
    """
    content = storage.read_bytes(path, HEAD_BYTES)
    if not content.strip():
        return None, "empty"
    head = head_of(path, content, len(content) < HEAD_BYTES, settings.encoding)
    form = form_of(head, Columns(settings.columns))
    if form is not None:
        return CaptionFile(path, head, form), ""
    if header := unknown_header(head):
        return None, f"a table with the columns {header}; corpus.columns can name them"
    return None, f"no known form; it begins with {head.lines[0].strip()[:60]!r}" if head.lines else "blank"


def split_of_file(path: str) -> str | None:
    """Returns the split in a caption file's name: `dev` for captions_val2017.json, None if there is none."""
    match = SPLIT_IN_NAME.search(path.rsplit("/", 1)[-1].lower())
    return split_name(match[1]) if match else None


def read_captions(spark: SparkSession, file: CaptionFile) -> DataFrame:
    """Reads a caption file.

    Returns:
        One row for each caption: image_id, caption_no, text, split (as the file names it, or null), line (as it is in the
        file, for the quarantine), joined (the text holds delimiters that were not quoted), position in the file, and valid
        (the line is valid text). What cannot be parsed has a null image_id, caption_no or text.

    Raises:
        InputError: A JSON document is broken, or not of the form that its beginning shows.
    """
    plain = file.form.by_line and _spark_reads(spark, file)
    if plain and isinstance(file.form, LinePattern):
        rows = _match_lines(_lines(spark, file), file.form)
    elif plain:
        rows = _parse_lines(_lines(spark, file), file.form)
    else:
        rows = _parse_on_driver(spark, file)
    if file.form.numbered:
        return rows
    number = F.row_number().over(Window.partitionBy("image_id").orderBy("position")) - 1
    return rows.withColumn("caption_no", F.when(F.col("image_id").isNotNull(), number.cast("int")))


def _spark_reads(spark: SparkSession, file: CaptionFile) -> bool:
    """Whether Spark can read a file line by line: UTF-8, and a name that is neither hidden nor beyond the JVM's encoding."""
    name = file.path.rsplit("/", 1)[-1]
    reads_name = (
        not name.startswith((".", "_")) and ":" not in name and can_encode(file.path, file_name_encoding(spark))
    )
    return file.head.encoding == "utf-8" and reads_name


def _lines(spark: SparkSession, file: CaptionFile) -> DataFrame:
    """line, valid (it is valid UTF-8) and position of the lines that are not blank."""
    lines = spark.read.option("lineSep", file.head.line_end).text(escaped(file.path))
    return lines.select(
        F.regexp_replace(F.make_valid_utf8("value"), "^\ufeff|\r$", "").alias("line"),
        F.is_valid_utf8("value").alias("valid"),
        F.monotonically_increasing_id().alias("position"),
    )


def _match_lines(lines: DataFrame, form: LinePattern) -> DataFrame:
    def group(number: int) -> Column:
        matches = F.col("line").rlike(form.pattern) & F.col("valid")
        return F.when(matches, F.regexp_extract("line", form.pattern, number))

    number = group(2).cast("int") if form.numbered else F.lit(None).cast("int")
    return lines.where(F.trim("line") != "").select(
        group(1).alias("image_id"), number.alias("caption_no"), group(3 if form.numbered else 2).alias("text"),
        F.lit(None).cast("string").alias("split"), "line", F.lit(False).alias("joined"), "position", "valid",
    )  # fmt: skip


def _parse_lines(lines: DataFrame, form: Form) -> DataFrame:
    """Parses lines on the executors: in parallel, unless a row may span lines."""
    lines = lines.select("line", "position")
    if isinstance(form, Delimited):
        quotes = F.length("line") - F.length(F.replace(F.col("line"), F.lit('"'), F.lit("")))
        if not lines.where(quotes % 2 == 1).isEmpty():
            lines = lines.repartition(1).sortWithinPartitions("position")
    rows = lines.select("line").mapInArrow(partial(_parse_batches, form), SCHEMA)
    return rows.withColumn("valid", ~F.col("line").contains("\ufffd"))


def _parse_batches(form: Form, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    context = TaskContext.get()
    start = (context.partitionId() if context else 0) << 33
    yield from _rows(form.parse(line for batch in batches for line in batch.column(0).to_pylist()), start)


def _parse_on_driver(spark: SparkSession, file: CaptionFile) -> DataFrame:
    """Reads a JSON document, or a file that Spark cannot read by lines."""
    text = decoded(HadoopFiles(spark).read_bytes(file.path), file.head.encoding)
    try:
        batches = list(_rows(file.form.parse(text_lines(text) if file.form.by_line else [text]), 0))
    except InputError as error:
        raise InputError(f"{str(error).removesuffix('; check the file')}; check {file.path}") from error
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(
            f"corpus.captions: {file.path} is not {file.form.description}: {error}; check the file"
        ) from error
    if not batches:
        return spark.createDataFrame([], SCHEMA).withColumn("valid", F.lit(True))
    rows = spark.createDataFrame(pa.Table.from_batches(batches))
    return rows.withColumn("caption_no", F.col("caption_no").cast("int")).withColumn(
        "valid", ~F.col("line").contains("\ufffd")
    )


def _rows(captions: Iterable[Caption], start: int) -> Iterator[pa.RecordBatch]:
    """Batches of SCHEMA."""
    rows: list[Caption] = []
    for caption in captions:
        rows.append(caption)
        if len(rows) == BATCH:
            yield _batch(rows, start)
            start, rows = start + len(rows), []
    if rows:
        yield _batch(rows, start)


def _batch(rows: list[Caption], start: int) -> pa.RecordBatch:
    ids, numbers, texts, splits, lines, joined = zip(*rows, strict=True)
    types = (pa.string(), pa.int32(), pa.string(), pa.string(), pa.string(), pa.bool_(), pa.int64())
    columns = (ids, numbers, texts, splits, lines, joined, range(start, start + len(rows)))
    names = ("image_id", "caption_no", "text", "split", "line", "joined", "position")
    arrays = [_array(column, kind) for column, kind in zip(columns, types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Values as Arrow holds them, with a question mark for a lone surrogate, which JSON can hold and UTF-8 cannot."""
    try:
        return pa.array(values, type=kind)
    except UnicodeEncodeError:
        plain = [value.encode("utf-8", "replace").decode() if isinstance(value, str) else value for value in values]
        return pa.array(plain, type=kind)
