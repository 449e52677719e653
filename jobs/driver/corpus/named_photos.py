"""Photos that a user names beside the corpus: a folder, pictures, or text files that list pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.corpus.layouts import empty_photo_files, find_photos, photo_files
from jobs.driver.job import Job
from jobs.driver.spark.hadoop_files import HadoopFiles, absolute
from udfs.errors import InputError


@dataclass(frozen=True)
class NamedPhotos:
    """The first photos of those named: `rows` has place (0, 1, ...), image_id, length (bytes) and content.

    An empty file has a null length, and content is null where a file is empty or has more than corpus.max_bytes.
    """

    rows: DataFrame
    count: int
    left_out: int


def named_photos(job: Job, key: str, named: str, limit: int) -> NamedPhotos:
    """The photos that the value `named` of the configuration's `key` means, at most `limit`.

    `auto` means the corpus's photos; otherwise it is a folder, whose photos are taken in order of their names, or pictures
    and lists of pictures (`*.txt`, a path a line, relative to the list), separated by commas, in the order given.
    Raises InputError for what is not there.
    """
    storage, where = HadoopFiles(job.spark), absolute(named)
    if named == "auto":
        found, total = _in_folder(job, find_photos(job.spark, job.settings), limit)
    elif storage.is_folder(where):
        found, total = _in_folder(job, where, limit)
    else:
        found, total = _by_name(storage, key, named, limit)
    if not found:
        raise InputError(f"{key}: found no photos in {named}, expected a folder of pictures or a list; change {key}")
    wanted = [(place, *each) for place, each in enumerate(found)]
    rows = job.spark.createDataFrame(wanted, "place int, image_id string, path string")
    contents = _contents(job, [path for _, path in found if path])
    return NamedPhotos(rows.join(contents, "path", "left").drop("path"), len(found), total - len(found))


def _in_folder(job: Job, folder: str, limit: int) -> tuple[list[tuple[str, str | None]], int]:
    empty = empty_photo_files(job.spark, folder).withColumn("path", F.lit(None).cast("string"))
    every = photo_files(job.spark, folder).select("image_id", "path").unionByName(empty)
    return [(row.image_id, row.path) for row in every.orderBy("image_id").limit(limit).collect()], every.count()


def _by_name(storage: HadoopFiles, key: str, named: str, limit: int) -> tuple[list[tuple[str, str | None]], int]:
    names = {}  # in order, each once
    for entry in filter(None, (part.strip() for part in named.split(","))):
        names |= dict.fromkeys(_listed(storage, key, entry) if entry.endswith(".txt") else [entry])
    first = list(names)[:limit]
    for name in first:
        if not storage.exists(absolute(name)) or storage.is_folder(absolute(name)):
            raise InputError(
                f"{key}: {name} is no file, expected one folder, or pictures and lists *.txt; mend the path"
            )
    return [(name, storage.qualified(absolute(name))) for name in first], len(names)


def _listed(storage: HadoopFiles, key: str, path: str) -> list[str]:
    try:
        lines = [line.strip() for line in storage.read_text(absolute(path)).splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{key}: {path} cannot be read ({error}), expected a list of pictures; mend the path"
        ) from error
    folder = path.rpartition("/")[0]
    return [line if re.match(r"/|\w+:", line) or not folder else f"{folder}/{line}" for line in lines if line]


def _contents(job: Job, paths: list[str]) -> DataFrame:
    if not paths:
        return job.spark.createDataFrame([], "path string, length long, content binary")
    literal = [re.sub(r"([\\*?\[\]{}])", r"\\\1", path) for path in paths]  # names are not patterns
    files = job.spark.read.format("binaryFile").load(literal)
    content = F.when(F.col("length") <= job.settings.corpus.max_bytes, F.col("content"))
    return files.select("path", "length", content.alias("content"))
