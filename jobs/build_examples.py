"""Joins features and tokens into the table `examples`, in the layout that training reads.

A split is dealt into `examples.shards` shards of equal rows (one more or less), in an order that depends on the photos'
names alone; a shard is one file, or several where it is large, each of one row group.
"""

from __future__ import annotations

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf import Settings
from jobs.driver.corpus.extractors import fingerprint_of
from jobs.driver.job import Job, Outcome, run_job
from jobs.driver.runs.snapshot import pinned
from jobs.driver.runs.training_source import table_versions, training_fingerprint
from jobs.driver.tables.quarantine import quarantine
from udfs.errors import InputError

ONE_ROW_GROUP = 2**28  # bytes; a file's rows are bounded by examples.rows_per_file long before
LAYOUT = {
    "parquet.block.size": str(ONE_ROW_GROUP),
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
}


def main(job: Job) -> Outcome:
    settings, examples = job.settings, job.warehouse.table("examples")
    tokens, tokens_version = pinned(job, "tokens", "tokenize_captions")
    _, vocabulary_version = pinned(job, "vocabulary", "tokenize_captions")
    features, features_version = pinned(job, "features", "extract_features")
    extractor = fingerprint_of(settings.extractor)
    cleaning = check_tokens(job, tokens_version, vocabulary_version)
    made_from = {
        "tokens": tokens_version, "vocabulary": vocabulary_version, "features": features_version, "extractor": extractor,
        "validation_split": settings.corpus.validation_split,
        "shards": settings.examples.shards, "rows_per_file": settings.examples.rows_per_file,
    }  # fmt: skip
    version = examples.version()
    last = examples.provenance(version)
    if last.get("made_from") == made_from:
        return outcome(settings, last, version, written=0)

    features = features.where(F.col("extractor") == extractor)
    if features.isEmpty():
        raise InputError(
            f"table features: found no rows of {extractor}, which the configuration means; run jobs/extract_features.py "
            "with the same extractor settings"
        )
    captions = join_captions(tokens, settings.corpus.validation_split, cleaning["max_length"])
    joined = captions.join(features, "image_id", "full").where("wanted OR wanted IS NULL")
    joined = joined.persist(StorageLevel.DISK_ONLY)
    rows_in, refused = joined.count(), quarantine(job, refusals(joined, features_version))
    complete = joined.where("feature IS NOT NULL AND token_ids IS NOT NULL")
    rows = deal(complete, settings.examples.shards, settings.examples.rows_per_file)
    counts = {row.split: row["count"] for row in complete.groupBy("split").count().collect()}
    check_counts(counts, settings)
    note = {
        "made_from": made_from, "rows_in": rows_in, "rows": sum(counts.values()), "quarantined": refused,
        "vocabulary": cleaning["vocabulary"], "vocabulary_size": cleaning["vocabulary_size"],
        "max_length": cleaning["max_length"], "text": cleaning["text"],
        "metrics": {"photos": counts, "captions": complete.agg(F.sum("caption_count")).first()[0]},
    }  # fmt: skip
    version = examples.replace(rows, note, partition_by=["split", "shard", "part"], options=LAYOUT)
    return outcome(settings, note, version, written=note["rows"])


def outcome(settings: Settings, note: dict, version: int, written: int) -> Outcome:
    """The outcome; its metrics name the training that these examples and settings make (`training`)."""
    return Outcome(
        "examples", None, version, note["rows_in"], written, note["rows"] - written, note["quarantined"],
        {**note["metrics"], "training": training_fingerprint(settings, note, version)}, table_versions(note, version),
    )  # fmt: skip


def check_tokens(job: Job, tokens_version: int, vocabulary_version: int) -> dict:
    """How the tokens were cleaned, after checking that tokens, vocabulary and configuration belong together."""
    tokens = job.warehouse.table("tokens").provenance(tokens_version)
    vocabulary = job.warehouse.table("vocabulary").provenance(vocabulary_version)
    if not tokens or tokens.get("vocabulary") != vocabulary.get("vocabulary"):
        raise InputError(
            f"table tokens: made with the vocabulary {tokens.get('vocabulary')}, but the table vocabulary holds "
            f"{vocabulary.get('vocabulary')}; run jobs/tokenize_captions.py"
        )
    for key, value in tokens["text"].items():
        wanted = getattr(job.settings.text, key)
        if wanted != value:
            raise InputError(
                f"text.{key}: the configuration says {wanted}, but the table tokens was made with {value}; "
                "run jobs/tokenize_captions.py with the same configuration"
            )
    kept = {key: tokens[key] for key in ("text", "vocabulary", "vocabulary_size")}
    return {**kept, "max_length": tokens["text"]["max_length"]}


def join_captions(tokens: DataFrame, validation_split: str, max_length: int) -> DataFrame:
    """One row a photo: its captions' token ids, each padded with zeros to max_length + 1, one after the other.

    Rows are padded to the most captions of any photo, since petastorm reads lists of one length only.
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
            "wanted": F.col("split").isin("train", validation_split),
        }
    )


def zeros_after(column: str, length: Column) -> Column:
    return F.concat(column, F.array_repeat(F.lit(0), length - F.size(column)))


def refusals(joined: DataFrame, features_version: int) -> DataFrame:
    reason = F.when(F.col("token_ids").isNull(), "photo_without_captions").otherwise("captions_without_features")
    return joined.where("feature IS NULL OR token_ids IS NULL").select(
        F.lit("features and tokens").alias("source"),
        F.col("image_id").alias("key"),
        reason.alias("reason"),
        F.lit("the other side was refused, or is not in the corpus").alias("details"),
    )


def deal(complete: DataFrame, shards: int, rows_per_file: int) -> DataFrame:
    """Gives each photo its shard and its file there (`part`), and brings a file's rows together in a fixed order."""
    order = Window.partitionBy("split").orderBy(F.sha2("image_id", 256), "image_id")
    place = complete.select("image_id", "split").withColumn("place", F.row_number().over(order) - 1)
    shard, depth = F.col("place") % shards, F.floor(F.col("place") / shards)
    rows = complete.join(place, ["image_id", "split"]).select(
        "image_id", "split", shard.cast("int").alias("shard"), F.floor(depth / rows_per_file).cast("int").alias("part"),
        "place", "feature", "feature_shape", "token_ids", "caption_count",
    )  # fmt: skip
    files = ["split", "shard", "part"]
    return rows.repartition(*files).sortWithinPartitions(*files, "place").drop("place")


def check_counts(counts: dict[str, int], settings) -> None:
    for split in ("train", settings.corpus.validation_split):
        if not counts.get(split):
            key = "corpus.root" if split == "train" else "corpus.validation_split"
            raise InputError(
                f"{key}: no photo of the split {split!r} has both a feature and captions; the table quarantine says why"
            )


if __name__ == "__main__":
    run_job(main, __doc__)
