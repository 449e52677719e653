"""Reads the captions, builds the vocabulary of the training split, and writes the tables `captions`, `vocabulary`, `tokens`.

Everything runs in Spark's own expressions. Captions that cannot be used go to the table `quarantine` with a reason.
"""

from __future__ import annotations

import sys
from functools import reduce

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.driver.corpus.layouts import Corpus, find_corpus, photo_files, read_captions, read_splits, split_of_file
from jobs.driver.job import Job, Outcome, run_job
from jobs.driver.tables.quarantine import quarantine
from udfs.captioner.text import RESERVED, UNKNOWN, caption_ids, vocabulary_fingerprint, words
from udfs.errors import InputError

TABLES = ("captions", "vocabulary", "tokens")


def main(job: Job) -> Outcome:
    corpus = find_corpus(job.spark, job.settings)
    made_from = provenance(job, corpus)
    tables = {name: job.warehouse.table(name) for name in TABLES}
    versions = {name: table.version() for name, table in tables.items()}
    notes = [tables[name].provenance(version) for name, version in versions.items()]
    if notes[0].get("made_from") == made_from and all(note == notes[0] for note in notes):
        return outcome(versions, notes[0], unchanged=notes[0]["accepted"])

    parsed = accept_or_refuse(job, corpus).persist(StorageLevel.MEMORY_AND_DISK)
    accepted = parsed.where("reason IS NULL").drop("reason", "line")
    rows_in, kept = parsed.count(), accepted.count()
    if not rows_in:
        raise InputError(f"corpus.captions: found no captions in {', '.join(corpus.captions)}; check the file")
    refused = quarantine(job, refusals(parsed))
    if accepted.where("split = 'train'").isEmpty():
        raise InputError(
            f"corpus.captions: none of {rows_in} captions can be used for training ({refused} are in the table quarantine "
            "with reasons); check that the train list names photos that are in the corpus"
        )
    vocabulary = build_vocabulary(accepted, job.settings.text.min_count).persist(StorageLevel.MEMORY_AND_DISK)
    ordered = [row.token for row in vocabulary.orderBy("token_id").collect()]
    fingerprint = vocabulary_fingerprint(ordered, job.settings.text.max_length, job.settings.text.letters_only)
    tokens = tokenize(accepted, vocabulary, job.settings.text.max_length, fingerprint).persist(
        StorageLevel.MEMORY_AND_DISK
    )

    unchanged = rows_in_common(tokens, tables["tokens"])
    note = {
        "made_from": made_from, "rows_in": rows_in, "accepted": kept, "quarantined": refused,
        "vocabulary": fingerprint, "vocabulary_size": len(ordered), "text": made_from["text"],
    }  # fmt: skip
    rows = {
        "captions": accepted.select("image_id", "caption_no", "text", "split"), "vocabulary": vocabulary, "tokens": tokens,
    }  # fmt: skip
    versions = {name: tables[name].replace(rows[name], note) for name in TABLES}
    return outcome(versions, note, unchanged)


def outcome(versions: dict[str, int], note: dict, unchanged: int) -> Outcome:
    return Outcome(
        table="tokens",
        version=versions["tokens"],
        versions=versions,
        rows_in=note["rows_in"],
        written=note["accepted"] - unchanged,
        unchanged=unchanged,
        quarantined=note["quarantined"],
        metrics={"vocabulary_size": note["vocabulary_size"], "vocabulary": note["vocabulary"]},
    )


def provenance(job: Job, corpus: Corpus) -> dict:
    """What the tables follow from: the text files' contents, the photos' names, and the settings that matter."""
    settings = job.settings
    files = [*corpus.captions, *corpus.split_lists.values()]
    contents = job.spark.read.format("binaryFile").load(files).select("path", F.sha2("content", 256).alias("hash"))
    names = photo_files(job.spark, corpus.photos).select(F.xxhash64("image_id").alias("hash"))
    photos = names.agg(F.count("*").alias("n"), F.bit_xor("hash").alias("x")).first()
    return {
        "files": {row.path: row.hash for row in contents.collect()},
        "photos": [photos.n, photos.x],
        "text": {"min_count": settings.text.min_count, "max_length": settings.text.max_length,
                 "letters_only": settings.text.letters_only, "max_words": settings.text.max_words},
        "validation": [settings.corpus.validation_split, settings.corpus.validation_fraction],
    }  # fmt: skip


def accept_or_refuse(job: Job, corpus: Corpus) -> DataFrame:
    """Every caption with its split and words, and the reason why it is refused, or null."""
    spark, settings = job.spark, job.settings
    captions = reduce(
        DataFrame.unionByName,
        [
            read_captions(spark, path).withColumns(
                {"source": F.lit(path), "file_split": F.lit(split_of_file(path)).cast("string")}
            )
            for path in corpus.captions
        ],
    )
    photos = photo_files(spark, corpus.photos).select("image_id", F.lit(True).alias("known"))
    captions = captions.join(photos, "image_id", "left")
    captions = with_split(job, captions, corpus).withColumn("words", words(F.col("text"), settings.text.letters_only))
    reasons = refusal_reasons(settings.text.max_words)
    first_reason = F.coalesce(*[F.when(condition, F.lit(reason)) for reason, condition in reasons.items()])
    judged = captions.withColumn("reason", first_reason)
    same = Window.partitionBy("image_id", "caption_no", F.col("reason").isNull()).orderBy("source", "position")
    repeated = F.col("reason").isNull() & (F.row_number().over(same) > 1)
    return judged.withColumn("reason", F.when(repeated, "duplicate_caption").otherwise(F.col("reason"))).select(
        "image_id", "caption_no", "text", "split", "words", "reason", "line", "source"
    )


def refusal_reasons(max_words: int) -> dict[str, Column]:
    """The conditions under which a caption is refused, the first that holds being its reason."""
    parsed = F.col("image_id").isNotNull() & F.col("caption_no").isNotNull()
    return {
        "invalid_utf8": ~F.col("valid"),
        "malformed": ~parsed,
        "outside_corpus": F.col("image_id").rlike(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:|\x00"),
        "unknown_photo": F.col("known").isNull(),
        "in_two_splits": F.size("splits") > 1,
        "in_no_split": F.col("split").isNull(),
        "empty_caption": F.col("text").isNull() | (F.size("words") == 0),
        "too_many_words": F.size("words") > max_words,
    }


def with_split(job: Job, captions: DataFrame, corpus: Corpus) -> DataFrame:
    """Adds `splits` (all that the lists say) and `split`.

    Without lists, the caption file's name says the split, or a hash of image_id: 80% train, 10% dev, 10% test. A corpus
    without the split that validates has it made from its training photos, by a hash too.
    """
    settings, share = job.settings.corpus, hash_share(F.col("image_id"))
    if corpus.split_lists:
        listed = read_splits(job.spark, corpus.split_lists)
        per_photo = listed.groupBy("image_id").agg(F.array_sort(F.collect_set("split")).alias("splits"))
        captions = captions.join(per_photo, "image_id", "left")
        there = set(corpus.split_lists)
    else:
        by_hash = F.when(share < 0.8, "train").when(share < 0.9, "dev").otherwise("test")
        captions = captions.withColumn("splits", F.array(F.coalesce("file_split", by_hash)))
        there = (
            {split_of_file(path) for path in corpus.captions}
            if all(map(split_of_file, corpus.captions))
            else {"train", "dev", "test"}
        )
    captions = captions.withColumn("split", F.try_element_at("splits", F.lit(1)))
    if settings.validation_split not in there:
        print(
            f"tokenize_captions: the corpus has no split {settings.validation_split!r}; "
            f"{settings.validation_fraction:.0%} of the training photos become it",
            file=sys.stderr,
        )
        chosen = (F.col("split") == "train") & (
            hash_share(F.concat(F.lit("validation "), "image_id")) < settings.validation_fraction
        )
        captions = captions.withColumn("split", F.when(chosen, settings.validation_split).otherwise(F.col("split")))
    return captions


def hash_share(text: Column) -> Column:
    """A number in [0, 1) that depends on the text alone."""
    return F.conv(F.substring(F.sha2(text, 256), 1, 8), 16, 10).cast("long") / F.lit(float(2**32))


def refusals(parsed: DataFrame) -> DataFrame:
    number = F.concat(F.lit("#"), F.col("caption_no"))
    return parsed.where("reason IS NOT NULL").select(
        "source",
        F.coalesce(F.concat("image_id", number), F.col("image_id"), F.substring("line", 1, 100)).alias("key"),
        "reason",
        F.substring("line", 1, 500).alias("details"),
    )


def build_vocabulary(accepted: DataFrame, min_count: int) -> DataFrame:
    """token, token_id, count of the words seen at least min_count times in training, the most frequent first.

    Equal counts are in alphabetical order. The reserved tokens come before, with count 0.
    """
    counts = (
        accepted.where("split = 'train'")
        .select(F.explode("words").alias("token"))
        .groupBy("token")
        .agg(F.count("*").alias("count"))
        .where(F.col("count") >= min_count)
    )
    rank = F.row_number().over(Window.orderBy(F.desc("count"), "token")) + len(RESERVED) - 1
    ranked = counts.select("token", rank.alias("token_id"), "count")
    reserved = [(token, number, 0) for number, token in enumerate(RESERVED)]
    return accepted.sparkSession.createDataFrame(reserved, "token string, token_id int, count long").unionByName(ranked)


def tokenize(accepted: DataFrame, vocabulary: DataFrame, max_length: int, fingerprint: str) -> DataFrame:
    """The table `tokens`: each caption's words looked up by a join, in their order."""
    each = accepted.select("image_id", "caption_no", "split", F.posexplode("words").alias("position", "token"))
    known = F.broadcast(vocabulary.select("token", "token_id"))
    numbered = each.join(known, "token", "left").withColumn("token_id", F.coalesce("token_id", F.lit(UNKNOWN)))
    in_order = F.array_sort(F.collect_list(F.struct("position", "token_id")))["token_id"]
    return (
        numbered.groupBy("image_id", "caption_no", "split")
        .agg(in_order.alias("ids"))
        .select(
            "image_id",
            "caption_no",
            "split",
            caption_ids(F.col("ids"), max_length).alias("token_ids"),
            F.lit(fingerprint).alias("vocabulary"),
        )
    )


def rows_in_common(rows: DataFrame, table) -> int:
    """How many of the rows the table holds already, in every column."""
    if table.version() is None:
        return 0
    return rows.join(table.read(), rows.columns, "left_semi").count()


if __name__ == "__main__":
    run_job(main, __doc__)
