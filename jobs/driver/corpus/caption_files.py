"""Reads caption files and split lists.

Formats: Flickr8k's lines `image.jpg#0<TAB>caption`, CSV with the columns image and caption, and COCO's JSON.
"""

from __future__ import annotations

import re
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from udfs.errors import InputError

TOKEN_LINE = r"^([^\t]*?)\s*#(\d{1,9})\t(.*)$"  # image_id, caption_no, text


def read_captions(spark: SparkSession, path: str) -> DataFrame:
    """Reads a caption file, whose format is found by its name and its first line.

    Returns:
        One row for each caption: image_id, caption_no, text, line (as it is in the file, for the quarantine), position in
        the file, and valid (the line is valid UTF-8). What cannot be parsed has a null image_id, caption_no or text.

    Raises:
        InputError: A JSON file is not a COCO captions file.
    """
    if path.endswith(".json"):
        return _read_coco(spark, path)
    first = spark.read.text(path).first()
    if first is not None and "\t" not in first.value and re.match(r'\W*"?image\w*"?\s*,', first.value.lower()):
        return _read_csv(spark, path)
    return _read_token_lines(spark, path)


def read_splits(spark: SparkSession, split_lists: dict[str, str]) -> DataFrame:
    """Reads split lists, which name a photo on each line.

    Args:
        spark: The session.
        split_lists: {split: file}, at least one.

    Returns:
        image_id and split, without repetitions.
    """
    image_id = F.trim(F.regexp_replace("value", r"\r$", "")).alias("image_id")
    parts = [
        spark.read.text(path).select(image_id, F.lit(split).alias("split"))
        for split, path in sorted(split_lists.items())
    ]
    return reduce(DataFrame.unionByName, parts).where("image_id != ''").distinct()


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

    def group(number: int) -> Column:
        matches = F.col("line").rlike(TOKEN_LINE) & F.col("valid")
        return F.when(matches, F.regexp_extract("line", TOKEN_LINE, number))

    image_id, caption_no, text = group(1), group(2).cast("int"), group(3)
    return lines.where(F.trim("line") != "").select(
        image_id.alias("image_id"), caption_no.alias("caption_no"), text.alias("text"), "line", "position", "valid"
    )


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
    document = spark.read.json(path, schema=schema, multiLine=True)
    if document.where("annotations IS NOT NULL AND images IS NOT NULL").isEmpty():
        raise InputError(
            f"corpus.captions: {path} is not a COCO captions file, expected the lists images and annotations; check the file"
        )
    images = document.select(F.explode("images").alias("image")).select("image.id", "image.file_name")
    annotations = document.select(F.explode("annotations").alias("a")).select("a.id", "a.image_id", "a.caption")
    number = F.row_number().over(Window.partitionBy("image_id").orderBy("position")) - 1
    named = annotations.withColumnRenamed("id", "position").join(images, annotations.image_id == images.id, "left")
    return named.select(
        F.col("file_name").alias("image_id"),
        number.cast("int").alias("caption_no"),
        F.col("caption").alias("text"),
        F.concat(F.lit("annotation "), F.col("position"), F.lit(": "), F.coalesce("caption", F.lit(""))).alias("line"),
        "position",
        F.lit(True).alias("valid"),
    )
