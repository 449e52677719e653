"""Photos that a configuration key names: the corpus, a folder, pictures, or text files that list pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.corpus.layouts import find_photos
from jobs.driver.corpus.photo_listing import photo_names, printable
from jobs.driver.job import Job
from jobs.driver.spark.hadoop_files import HadoopFiles, absolute, escaped
from udfs.errors import InputError
from udfs.photo_files import FILE_SCHEMA, read_files


@dataclass(frozen=True)
class NamedPhotos:
    """The first of the named photos.

    Attributes:
        rows: place (0, 1, ...), image_id, length (bytes; null for an empty file) and content (null if the file is empty or
            larger than corpus.max_bytes).
        count: Number of rows.
        left_out: Number of named photos beyond the limit.
    """

    rows: DataFrame
    count: int
    left_out: int


def named_photos(job: Job, key: str, named: str, limit: int) -> NamedPhotos:
    """Resolves the value of a configuration key to photos.

    Args:
        job: The job.
        key: The key, for error messages.
        named: `auto` for the photos of the corpus; a folder, whose photos are ordered by name; or pictures and lists of
            pictures (`*.txt`, one path a line, relative to the list), separated by commas, in the given order.
        limit: The largest number of photos.

    Raises:
        InputError: A file or folder does not exist, or holds no photos.
    """
    storage, uri = HadoopFiles(job.spark), absolute(named)
    if named == "auto":
        photos, total = _in_folder(job, find_photos(job.spark, job.settings), limit)
    elif storage.is_folder(uri):
        photos, total = _in_folder(job, uri, limit)
    else:
        photos, total = _by_name(storage, key, named, limit)
    if not photos:
        raise InputError(f"{key}: found no photos in {named}, expected a folder of pictures or a list; change {key}")
    in_order = [(place, *photo) for place, photo in enumerate(photos)]
    rows = job.spark.createDataFrame(in_order, "place int, image_id string, path string")
    contents = _contents(job, [path for _, path in photos if path])
    return NamedPhotos(rows.join(contents, "path", "left").drop("path"), len(photos), total - len(photos))


def _in_folder(job: Job, folder: str, limit: int) -> tuple[list[tuple[str, str | None]], int]:
    """The first (image_id, path) by name, with no path for empty and unreadable files, and the number of all."""
    listed = photo_names(job.spark, folder)
    uri = HadoopFiles(job.spark).qualified(folder).rstrip("/")
    first = [
        (printable(file.name), f"{uri}/{file.name}" if file.length and not file.problem else None)
        for file in listed[:limit]
    ]
    return first, len(listed)


def _by_name(storage: HadoopFiles, key: str, named: str, limit: int) -> tuple[list[tuple[str, str | None]], int]:
    """The first (name, URI) in the given order, without repetitions, and the number of all."""
    names: dict[str, None] = {}
    for entry in filter(None, (part.strip() for part in named.split(","))):
        names |= dict.fromkeys(_read_list(storage, key, entry) if entry.endswith(".txt") else [entry])
    first = list(names)[:limit]
    for name in first:
        if not storage.exists(absolute(name)) or storage.is_folder(absolute(name)):
            raise InputError(
                f"{key}: {name} is no file, expected one folder, or pictures and lists *.txt; correct the path"
            )
    return [(name, storage.qualified(absolute(name))) for name in first], len(names)


def _read_list(storage: HadoopFiles, key: str, path: str) -> list[str]:
    try:
        lines = [line.strip() for line in storage.read_text(absolute(path)).splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{key}: {path} cannot be read ({error}), expected a list of pictures; correct the path"
        ) from error
    folder = path.rpartition("/")[0]
    return [line if re.match(r"/|\w+:", line) or not folder else f"{folder}/{line}" for line in lines if line]


def _contents(job: Job, paths: list[str]) -> DataFrame:
    """path, length and content of files that are neither empty nor larger than corpus.max_bytes."""
    spark, most, storage = job.spark, job.settings.corpus.max_bytes, HadoopFiles(job.spark)
    if not paths:
        return spark.createDataFrame([], "path string, length long, content binary")
    if local := {path: storage.local(path) for path in paths if storage.local(path)}:
        rows = spark.createDataFrame(list(local.items()), "path string, local string")
        sized = rows.repartition(spark.sparkContext.defaultParallelism).mapInArrow(
            partial(read_files, most), FILE_SCHEMA
        )
        others = [path for path in paths if path not in local]
        return sized if not others else sized.unionByName(_contents(job, others))
    files = spark.read.format("binaryFile").load([escaped(path) for path in paths])
    content = F.when(F.col("length") <= most, F.col("content"))
    return files.select("path", "length", content.alias("content"))
