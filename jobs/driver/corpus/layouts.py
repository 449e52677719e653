"""Where a corpus keeps its photos, captions and split lists.

Three layouts are recognised: Flickr8k's own (`*.token.txt` and lists such as `*.trainImages.txt`), the `image,caption` CSV
in which Flickr8k is often distributed, and COCO's `captions_*.json`.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from urllib.parse import unquote

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from conf import Settings
from jobs.driver.spark.hadoop_files import HadoopFiles, absolute
from udfs.errors import InputError
from udfs.vision.picture_formats import SUFFIXES

SPLIT_LIST = re.compile(r"[._-](\w+?)Images\.txt$")
CAPTION_FILES = (r".*\.token\.txt$", r"captions.*\.(txt|csv)$|.*\.csv$", r"captions.*\.json$|.*annotations.*\.json$")
SPLIT_NAMES = {"val": "dev", "valid": "dev", "validation": "dev", "eval": "test"}


class NoCaptions(InputError):
    """The corpus has photos but no caption file."""


@dataclass(frozen=True)
class Corpus:
    """The files of a corpus.

    Attributes:
        photos: Folder of the photos.
        captions: Caption files.
        split_lists: {split: file that lists its photos}.
    """

    photos: str
    captions: list[str]
    split_lists: dict[str, str]


def at_root(settings: Settings, root: str) -> Settings:
    """Returns the settings for another corpus, whose photos and captions are found automatically."""
    other = copy.deepcopy(settings)
    other.corpus.root, other.corpus.photos, other.corpus.captions = root, "auto", "auto"
    return other


def find_photos(spark: SparkSession, settings: Settings) -> str:
    """Returns the folder of the photos.

    Raises:
        InputError: `corpus.root` does not exist, has no photos, or has several folders of photos.
    """
    storage, root = HadoopFiles(spark), absolute(settings.corpus.root).rstrip("/")
    entries = _entries(storage, root)
    if settings.corpus.photos != "auto":
        folder = f"{root}/{settings.corpus.photos}".removesuffix("/.")
        if not storage.exists(folder):
            raise InputError(f"corpus.photos: {folder} not found; set the photos' folder, relative to corpus.root")
        return folder
    folders = [name for name, is_folder in entries if is_folder and _holds_photos(storage, f"{root}/{name}")]
    if len(folders) == 1:
        return f"{root}/{folders[0]}"
    if any(name.lower().endswith(SUFFIXES) for name, is_folder in entries if not is_folder):
        return root
    if not folders:
        raise InputError(f"corpus.root: found no photos in {root}, expected a folder of pictures; check the path")
    raise InputError(
        f"corpus.photos: found the folders {', '.join(folders[:5])} in {root}, expected one; set corpus.photos to the photos'"
    )


def find_corpus(spark: SparkSession, settings: Settings) -> Corpus:
    """Returns the photos, captions and split lists of a corpus.

    Raises:
        NoCaptions: There is no caption file.
        InputError: Something that the configuration names does not exist, or there are no photos.
    """
    storage, root = HadoopFiles(spark), absolute(settings.corpus.root).rstrip("/")
    photos = find_photos(spark, settings)
    files = [name for name, is_folder in _entries(storage, root) if not is_folder]
    lists = {
        SPLIT_NAMES.get(match[1].lower(), match[1].lower()): f"{root}/{name}"
        for name in files
        if (match := SPLIT_LIST.search(name))
    }
    return Corpus(photos, _find_captions(storage, settings, root), lists)


def _find_captions(storage: HadoopFiles, settings: Settings, root: str) -> list[str]:
    if settings.corpus.captions != "auto":
        path = f"{root}/{settings.corpus.captions}"
        if not storage.exists(path):
            raise InputError(f"corpus.captions: {path} not found; set the caption file, relative to corpus.root")
        return [path]
    annotations = [
        f"{root}/{name}" for name, is_folder in _entries(storage, root) if is_folder and name == "annotations"
    ]
    captions = _caption_files(storage, [root, *annotations])
    if not captions:
        raise NoCaptions(
            f"corpus.captions: found no caption file in {root}, expected *.token.txt, captions.txt, *.csv or "
            "captions*.json; set corpus.captions"
        )
    return captions


def photo_files(spark: SparkSession, folder: str) -> DataFrame:
    """Lists the files in the folder of the photos, and in the folders below it.

    Where the photos lie beside caption files, only files with the suffix of a picture count.

    Returns:
        image_id (path below the folder), path (URI), length (bytes) and content. Spark reads the content only if the column
        is used. Empty files are missing: see `empty_photo_files`.
    """
    prefix = HadoopFiles(spark).qualified(folder).rstrip("/") + "/"
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(folder)
    rows = files.select(_below(prefix, F.col("path")).alias("image_id"), "path", "length", "content")
    if _has_captions(spark, folder):
        suffixes = "|".join(suffix[1:] for suffix in SUFFIXES)
        rows = rows.where(F.lower("image_id").rlike(rf"\.({suffixes})$"))
    return rows


def empty_photo_files(spark: SparkSession, folder: str) -> DataFrame:
    """Returns the image_id of empty files, which Spark's reader leaves out without a message."""
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(folder)
    uris = (
        files._jdf.inputFiles()
    )  # includes the empty ones; an array in the JVM, copied to Python only if there are any
    names = [] if len(uris) == files.count() else [(re.sub("^file:/+", "file:/", unquote(uri)),) for uri in uris]
    prefix = HadoopFiles(spark).qualified(folder).rstrip("/") + "/"
    listed = spark.createDataFrame(names, "path string").select(_below(prefix, F.col("path")).alias("image_id"))
    return listed.join(files.select(_below(prefix, F.col("path")).alias("image_id")), "image_id", "left_anti")


def split_of_file(path: str) -> str | None:
    """Returns the split in a caption file's name: `dev` for captions_val2017.json, None if there is none."""
    match = re.search(r"(?:^|[._-])(train|dev|val|test)(?=\d|[._-])", path.rsplit("/", 1)[-1].lower())
    return SPLIT_NAMES.get(match[1], match[1]) if match else None


def _below(prefix: str, path: Column) -> Column:
    return F.substring(path, len(prefix) + 1, 2**31 - 1)


def _has_captions(spark: SparkSession, folder: str) -> bool:
    pattern = re.compile("|".join(CAPTION_FILES))
    return any(not is_folder and pattern.search(name) for name, is_folder in HadoopFiles(spark).children(folder))


def _entries(storage: HadoopFiles, root: str) -> list[tuple[str, bool]]:
    try:
        return [entry for entry in storage.children(root) if not entry[0].startswith((".", "_"))]
    except FileNotFoundError as error:
        raise InputError(
            f"corpus.root: {root} not found; set corpus.root to the corpus folder, or draw the sample with jobs/draw_sample.py"
        ) from error


def _holds_photos(storage: HadoopFiles, folder: str) -> bool:
    return any(not is_folder and name.lower().endswith(SUFFIXES) for name, is_folder in storage.children(folder))


def _caption_files(storage: HadoopFiles, folders: list[str]) -> list[str]:
    """The files that match the first pattern with any match."""
    for pattern in CAPTION_FILES:
        paths = [
            f"{folder}/{name}"
            for folder in folders
            for name, is_folder in storage.children(folder)
            if not is_folder and re.search(pattern, name) and not SPLIT_LIST.search(name)
        ]
        if paths:
            return paths
    return []
