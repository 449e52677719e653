"""Joins features and tokens into the table `examples`, in the layout that training reads.

The photos of a split are dealt into `examples.shards` shards of equal size (plus or minus one photo), in an order that depends
only on the photos' names. A shard is one file, or several if it is large; each file holds one row group.

Keys:
    extractor.*: which features; the same settings as for extract_features.
    corpus.validation_split: the split beside `train` that is included.
    examples.shards: the largest number of workers that can train on the table.
    examples.rows_per_file: photos in one file, which bounds a worker's memory.
    run.id: with an id, the tables are read at the versions that this run's jobs wrote.
"""

from __future__ import annotations

from typing import Any

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf import Settings
from jobs.driver.command import Outcome, run_job
from jobs.driver.corpus.configured_extractor import extractor_of
from jobs.driver.corpus.feature_tables import require_cells
from jobs.driver.job import Job
from jobs.driver.runs.phases import training_fingerprint
from jobs.driver.runs.snapshot import pinned
from jobs.driver.runs.stored_results import stored_tables
from jobs.driver.runs.training_source import table_versions
from jobs.driver.tables.quarantine import quarantine
from udfs.errors import InputError
from udfs.vision.features import FEATURE, MIRRORED

ONE_ROW_GROUP = 2**28  # bytes; examples.rows_per_file keeps files far below it
LAYOUT = {
    "parquet.block.size": str(ONE_ROW_GROUP),
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
}


def main(job: Job) -> Outcome:
    settings, table = job.settings, job.warehouse.table("examples")
    tokens, tokens_version = pinned(job, "tokens", "tokenize_captions")
    _, vocabulary_version = pinned(job, "vocabulary", "tokenize_captions")
    features, features_version = pinned(job, "features", "extract_features")
    require_cells(features, "features")
    extractor = extractor_of(settings)
    cleaning = check_tokens(job, tokens_version, vocabulary_version)
    made_from = {
        "tokens": tokens_version, "vocabulary": vocabulary_version, "features": features_version,
        "extractor": extractor.fingerprint, "validation_split": settings.corpus.validation_split,
        "shards": settings.examples.shards, "rows_per_file": settings.examples.rows_per_file,
    }  # fmt: skip
    if settings.extractor.mirrored:
        made_from["mirrored"] = extractor.mirrored.fingerprint
    if stored := stored_tables({"examples": table}, made_from):
        note, versions = stored
        return outcome(settings, note, versions["examples"], written=0)

    features = features_of(features, extractor.fingerprint, made_from.get("mirrored"))
    captions = join_captions(tokens, settings.corpus.validation_split, cleaning["max_length"])
    # The features themselves join as late as the table is written: they are a thousand times as large as the captions.
    with_feature = features.select("image_id", F.lit(True).alias("has_feature"))
    joined = captions.join(with_feature, "image_id", "full").where("in_a_used_split OR in_a_used_split IS NULL")
    joined = joined.persist(StorageLevel.DISK_ONLY)
    rows_in, refused = joined.count(), quarantine(job, refusals(joined))
    complete = joined.where("has_feature AND token_ids IS NOT NULL")
    counts = {row.split: row["count"] for row in complete.groupBy("split").count().collect()}
    check_counts(counts, settings)
    note = {
        "made_from": made_from, "rows_in": rows_in, "rows": sum(counts.values()), "quarantined": refused,
        "vocabulary": cleaning["vocabulary"], "vocabulary_size": cleaning["vocabulary_size"],
        "max_length": cleaning["max_length"], "text": cleaning["text"],
        "metrics": {"photos": counts, "captions": complete.agg(F.sum("caption_count")).first()[0]},
    }  # fmt: skip
    rows = deal(complete, features, settings.examples.shards, settings.examples.rows_per_file)
    version = table.replace(rows, note, partition_by=["split", "shard", "part"], options=LAYOUT)
    return outcome(settings, note, version, written=note["rows"])


def features_of(features: DataFrame, extractor: str, mirrored: str | None) -> DataFrame:
    """The rows of an extractor, with the column `mirrored_feature` if the extractor of the mirrored photos is named.

    Raises:
        InputError: There are none, or a photo's mirrored feature is missing or of another content.
    """
    rows = features.where(F.col("extractor") == extractor)
    remedy = "run jobs/extract_features.py with the same extractor settings"
    if rows.isEmpty():
        raise InputError(f"table features: found no rows of {extractor}, the extractor of this configuration; {remedy}")
    if mirrored is None:
        return rows
    of_mirrored = features.where(F.col("extractor") == mirrored)
    of_mirrored = of_mirrored.select("image_id", "content_hash", F.col(FEATURE).alias(MIRRORED))
    rows = rows.join(of_mirrored, ["image_id", "content_hash"], "left")
    if missing := rows.where(F.col(MIRRORED).isNull()).count():
        raise InputError(
            f"extractor.mirrored: {missing} photos have no mirrored feature in the table features; {remedy}"
        )
    return rows


def outcome(settings: Settings, note: dict[str, Any], version: int, written: int) -> Outcome:
    """The outcome. Its metric `training` is the fingerprint of a training with these examples and settings."""
    return Outcome(
        table="examples",
        version=version,
        rows_in=note["rows_in"],
        written=written,
        unchanged=note["rows"] - written,
        quarantined=note["quarantined"],
        metrics={**note["metrics"], "training": training_fingerprint(settings, note, version)},
        versions=table_versions(note, version),
    )


def check_tokens(job: Job, tokens_version: int, vocabulary_version: int) -> dict[str, Any]:
    """How the tokens were made: text (settings), vocabulary (fingerprint), vocabulary_size, max_length.

    Raises:
        InputError: If tokens, vocabulary and configuration do not belong together.
    """
    tokens = job.warehouse.table("tokens").provenance(tokens_version)
    vocabulary = job.warehouse.table("vocabulary").provenance(vocabulary_version)
    if not tokens or tokens.get("vocabulary") != vocabulary.get("vocabulary"):
        raise InputError(
            f"table tokens: made with the vocabulary {tokens.get('vocabulary')}, but the table vocabulary holds "
            f"{vocabulary.get('vocabulary')}; run jobs/tokenize_captions.py"
        )
    for key, value in {"tokenizer": "words", **tokens["text"]}.items():
        configured = getattr(job.settings.text, key)
        if configured != value:
            raise InputError(
                f"text.{key}: found {configured}, but the table tokens was made with {value}; "
                "run jobs/tokenize_captions.py with the same configuration"
            )
    kept = {key: tokens[key] for key in ("text", "vocabulary", "vocabulary_size")}
    return {**kept, "max_length": tokens["text"]["max_length"]}


def join_captions(tokens: DataFrame, validation_split: str, max_length: int) -> DataFrame:
    """Collects each photo's captions into one row: image_id, split, token_ids, caption_count, in_a_used_split.

    token_ids holds the captions one after the other, each padded with zeros to max_length + 1. All rows are padded to the
    largest number of captions of a photo, because petastorm reads lists of one length only.
    """
    width = max_length + 1
    padded = zeros_after("token_ids", F.lit(width))
    in_order = F.array_sort(F.collect_list(F.struct("caption_no", padded.alias("padded"))))["padded"]
    rows = tokens.groupBy("image_id", "split").agg(
        F.flatten(in_order).alias("token_ids"), F.count("*").cast("int").alias("caption_count")
    )
    most = rows.agg(F.max("caption_count")).first()[0]
    return rows.withColumns(
        {
            "token_ids": zeros_after("token_ids", F.lit(most * width)),
            "in_a_used_split": F.col("split").isin("train", validation_split),
        }
    )


def zeros_after(column: str, length: Column) -> Column:
    """An array column, padded with zeros to a length."""
    return F.concat(column, F.array_repeat(F.lit(0), length - F.size(column)))


def refusals(joined: DataFrame) -> DataFrame:
    """The quarantine rows of photos that lack captions or a feature: source, key, reason, details."""
    reason = F.when(F.col("token_ids").isNull(), "photo_without_captions").otherwise("captions_without_features")
    return joined.where("has_feature IS NULL OR token_ids IS NULL").select(
        F.lit("features and tokens").alias("source"),
        F.col("image_id").alias("key"),
        reason.alias("reason"),
        F.lit("the other side was refused, or is not in the corpus").alias("details"),
    )


def deal(complete: DataFrame, features: DataFrame, shards: int, rows_per_file: int) -> DataFrame:
    """Assigns each photo a shard and a file in it (`part`), and puts a file's rows into one partition in a fixed order.

    Args:
        complete: image_id, split, token_ids and caption_count of the photos that have both captions and a feature.
        features: Their features by image_id.
        shards: Number of shards of a split.
        rows_per_file: Photos in a file.
    """
    order = Window.partitionBy("split").orderBy(F.sha2("image_id", 256), "image_id")
    place = complete.select("image_id", "split").withColumn("place", F.row_number().over(order) - 1)
    shard, depth = F.col("place") % shards, F.floor(F.col("place") / shards)
    mirrored = [MIRRORED] if MIRRORED in features.columns else []
    rows = complete.join(place, ["image_id", "split"]).join(features, "image_id").select(
        "image_id", "split", shard.cast("int").alias("shard"), F.floor(depth / rows_per_file).cast("int").alias("part"),
        "place", FEATURE, *mirrored, "feature_shape", "token_ids", "caption_count",
    )  # fmt: skip
    files = ["split", "shard", "part"]
    return rows.repartition(*files).sortWithinPartitions(*files, "place").drop("place")


def check_counts(counts: dict[str, int], settings: Settings) -> None:
    """Raises InputError if a split that training needs has no photos."""
    for split in ("train", settings.corpus.validation_split):
        if not counts.get(split):
            key = "corpus.root" if split == "train" else "corpus.validation_split"
            raise InputError(
                f"{key}: no photo of the split {split!r} has both a feature and captions; the table quarantine holds "
                "the reasons"
            )


if __name__ == "__main__":
    run_job(main, __doc__)
