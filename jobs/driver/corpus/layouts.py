"""Where a corpus keeps its photos, captions and split lists, and how each caption format is read.

Three layouts are known: Flickr8k's own (`*.token.txt` with `image.jpg#0<TAB>caption`, `*.trainImages.txt` lists), the
`image,caption` CSV in which it is often distributed, and COCO's `captions_*.json`.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from urllib.parse import unquote

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from conf import Settings
from jobs.driver.spark.hadoop_files import HadoopFiles, absolute
from udfs.errors import InputError
from udfs.vision.decode import SUFFIXES

SPLIT_LIST = re.compile(r"[._-](\w+?)Images\.txt$")
CAPTION_FILES = (r".*\.token\.txt$", r"captions.*\.(txt|csv)$|.*\.csv$", r"captions.*\.json$|.*annotations.*\.json$")
SPLIT_NAMES = {"val": "dev", "valid": "dev", "validation": "dev", "eval": "test"}


class NoCaptions(InputError):
    """A corpus of photos alone."""


@dataclass(frozen=True)
class Corpus:
    """Paths of a corpus: the photos' folder, the caption files, and {split: list file}."""

    photos: str
    captions: list[str]
    split_lists: dict[str, str]


def at_root(settings: Settings, root: str) -> Settings:
    """The settings for another corpus, whose photos and captions are looked for."""
    other = copy.deepcopy(settings)
    other.corpus.root, other.corpus.photos, other.corpus.captions = root, "auto", "auto"
    return other


def find_photos(spark: SparkSession, settings: Settings) -> str:
    """The folder of the photos. Raises InputError where corpus.root is missing, empty or ambiguous."""
    storage, root = HadoopFiles(spark), absolute(settings.corpus.root).rstrip("/")
    entries = _entries(storage, root)
    if settings.corpus.photos != "auto":
        folder = f"{root}/{settings.corpus.photos}".removesuffix("/.")
        if not storage.exists(folder):
            raise InputError(f"corpus.photos: {folder} not found; set the photos' folder, relative to corpus.root")
        return folder
    folders = [name for name, is_folder in entries if is_folder and _holds_files(storage, f"{root}/{name}")]
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
    """Photos, captions and split lists of a corpus. Raises InputError for what is missing."""
    storage, root = HadoopFiles(spark), absolute(settings.corpus.root).rstrip("/")
    photos = find_photos(spark, settings)
    files = [name for name, is_folder in _entries(storage, root) if not is_folder]
    lists = {
        SPLIT_NAMES.get(m[1].lower(), m[1].lower()): f"{root}/{name}"
        for name in files
        if (m := SPLIT_LIST.search(name))
    }
    if settings.corpus.captions != "auto":
        captions = [f"{root}/{settings.corpus.captions}"]
        if not storage.exists(captions[0]):
            raise InputError(f"corpus.captions: {captions[0]} not found; set the caption file, relative to corpus.root")
    else:
        places = [
            root,
            *(f"{root}/{name}" for name, is_folder in _entries(storage, root) if is_folder and name == "annotations"),
        ]
        captions = _caption_files(storage, places)
    if not captions:
        raise NoCaptions(
            f"corpus.captions: found no caption file in {root}, expected *.token.txt, captions.txt, *.csv or "
            "captions*.json; set corpus.captions"
        )
    return Corpus(photos, captions, lists)


def photo_files(spark: SparkSession, folder: str) -> DataFrame:
    """The files of the photos' folder: image_id (path below the folder), path, length in bytes, and content.

    Spark reads the content only where it is selected.
    """
    prefix = HadoopFiles(spark).qualified(folder).rstrip("/") + "/"
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(folder)
    rows = files.select(_below(prefix, F.col("path")).alias("image_id"), "path", "length", "content")
    if _has_captions(spark, folder):  # photos beside the caption files: only what is named as a picture counts
        suffixes = "|".join(suffix[1:] for suffix in SUFFIXES)
        rows = rows.where(F.lower("image_id").rlike(rf"\.({suffixes})$"))
    return rows


def empty_photo_files(spark: SparkSession, folder: str) -> DataFrame:
    """image_id of the files without a byte, which Spark's reader passes over in silence."""
    every = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(folder)
    uris = every._jdf.inputFiles()  # with the empty ones; an array in the JVM, brought over only if it holds any
    names = [] if len(uris) == every.count() else [(re.sub("^file:/+", "file:/", unquote(uri)),) for uri in uris]
    prefix = HadoopFiles(spark).qualified(folder).rstrip("/") + "/"
    found = spark.createDataFrame(names, "path string").select(_below(prefix, F.col("path")).alias("image_id"))
    return found.join(every.select(_below(prefix, F.col("path")).alias("image_id")), "image_id", "left_anti")


def _below(prefix: str, path: Column) -> Column:
    return F.substring(path, len(prefix) + 1, 2**31 - 1)


def _has_captions(spark: SparkSession, folder: str) -> bool:
    form = re.compile("|".join(CAPTION_FILES))
    return any(not is_folder and form.search(name) for name, is_folder in HadoopFiles(spark).children(folder))


def read_captions(spark: SparkSession, path: str) -> DataFrame:
    """The rows of a caption file: image_id, caption_no, text, line (as found, for the quarantine), position in
    the file, and whether it was valid UTF-8.

    What cannot be parsed has a null image_id, caption_no or text. Raises InputError for a broken JSON file.
    """
    if path.endswith(".json"):
        return _read_coco(spark, path)
    first = spark.read.text(path).first()
    if first is not None and "\t" not in first.value and re.match(r'\W*"?image\w*"?\s*,', first.value.lower()):
        return _read_csv(spark, path)
    return _read_token_lines(spark, path)


def read_splits(spark: SparkSession, split_lists: dict[str, str]) -> DataFrame:
    """image_id and split of every entry in the split lists."""
    parts = [
        spark.read.text(path).select(
            F.trim(F.regexp_replace("value", r"\r$", "")).alias("image_id"), F.lit(split).alias("split")
        )
        for split, path in sorted(split_lists.items())
    ]
    rows = parts[0]
    for part in parts[1:]:
        rows = rows.unionByName(part)
    return rows.where("image_id != ''").distinct()


def split_of_file(path: str) -> str | None:
    """The split that a caption file's name says: captions_val2017.json is dev."""
    match = re.search(r"(?:^|[._-])(train|dev|val|test)(?=\d|[._-])", path.rsplit("/", 1)[-1].lower())
    return SPLIT_NAMES.get(match[1], match[1]) if match else None


def _read_token_lines(spark: SparkSession, path: str) -> DataFrame:
    lines = (
        spark.read.option("lineSep", "\n")
        .text(path)
        .select(
            F.regexp_replace(F.make_valid_utf8("value"), r"\r$", "").alias("line"),
            F.is_valid_utf8("value").alias("valid"),
            F.monotonically_increasing_id().alias("position"),
        )
    )
    form = r"^([^\t]*?)\s*#(\d{1,9})\t(.*)$"

    def group(number: int):
        return F.when(F.col("line").rlike(form) & F.col("valid"), F.regexp_extract("line", form, number))

    image_id, caption_no, text = (
        group(1).alias("image_id"),
        group(2).cast("int").alias("caption_no"),
        group(3).alias("text"),
    )
    return lines.where(F.trim("line") != "").select(image_id, caption_no, text, "line", "position", "valid")


def _read_csv(spark: SparkSession, path: str) -> DataFrame:
    rows = spark.read.csv(path, schema="image string, caption string", header=True, escape='"', multiLine=True)
    number = F.row_number().over(Window.partitionBy("image").orderBy("position")) - 1
    return (
        rows.withColumn("position", F.monotonically_increasing_id())
        .withColumn("caption_no", number.cast("int"))
        .select(
            F.trim("image").alias("image_id"),
            "caption_no",
            F.col("caption").alias("text"),
            F.concat_ws(",", "image", "caption").alias("line"),
            "position",
            (~F.concat_ws("", "image", "caption").contains("\ufffd")).alias("valid"),
        )
    )


def _read_coco(spark: SparkSession, path: str) -> DataFrame:
    schema = """images array<struct<id:bigint,file_name:string>>,
        annotations array<struct<id:bigint,image_id:bigint,caption:string>>"""
    whole = spark.read.json(path, schema=schema, multiLine=True)
    if whole.where("annotations IS NOT NULL AND images IS NOT NULL").isEmpty():
        raise InputError(
            f"corpus.captions: {path} is not a COCO captions file, expected images and annotations; check it"
        )
    images = whole.select(F.explode("images").alias("image")).select("image.id", "image.file_name")
    notes = whole.select(F.explode("annotations").alias("note")).select("note.id", "note.image_id", "note.caption")
    number = F.row_number().over(Window.partitionBy("image_id").orderBy("position")) - 1
    named = notes.withColumnRenamed("id", "position").join(images, notes.image_id == images.id, "left")
    return named.select(
        F.col("file_name").alias("image_id"),
        number.cast("int").alias("caption_no"),
        F.col("caption").alias("text"),
        F.concat(F.lit("annotation "), F.col("position"), F.lit(": "), F.coalesce("caption", F.lit(""))).alias("line"),
        "position",
        F.lit(True).alias("valid"),
    )


def _entries(storage: HadoopFiles, root: str) -> list[tuple[str, bool]]:
    try:
        return [entry for entry in storage.children(root) if not entry[0].startswith((".", "_"))]
    except FileNotFoundError as error:
        raise InputError(
            f"corpus.root: {root} not found; set corpus.root to the corpus folder, or draw the sample with jobs/draw_sample.py"
        ) from error


def _holds_files(storage: HadoopFiles, folder: str) -> bool:
    return any(not is_folder and name.lower().endswith(SUFFIXES) for name, is_folder in storage.children(folder))


def _caption_files(storage: HadoopFiles, places: list[str]) -> list[str]:
    for pattern in CAPTION_FILES:
        found = [
            f"{place}/{name}"
            for place in places
            for name, is_folder in storage.children(place)
            if not is_folder and re.search(pattern, name) and not SPLIT_LIST.search(name)
        ]
        if found:
            return found
    return []
