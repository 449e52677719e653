"""Reads a corpus's captions with their splits and words, and decides which of them are refused."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.schema import Corpus as CorpusSettings
from jobs.driver.corpus.caption_files import read_captions, read_splits
from jobs.driver.corpus.layouts import Corpus, photo_files, split_of_file
from jobs.driver.job import Job
from udfs.captioner.text import words

HASHED_SPLITS = {"train": 0.8, "dev": 0.1, "test": 0.1}


def accept_or_refuse(job: Job, corpus: Corpus) -> DataFrame:
    """Reads every caption of a corpus.

    Returns:
        One row for each caption: image_id, caption_no, text, split, words (array of strings), reason (null if the caption is
        accepted), line (as it is in the file) and source (the file).
    """
    spark, settings = job.spark, job.settings
    captions = reduce(DataFrame.unionByName, [_read_file(spark, path) for path in corpus.captions])
    photos = photo_files(spark, corpus.photos).select("image_id", F.lit(True).alias("known"))
    captions = with_split(job, captions.join(photos, "image_id", "left"), corpus)
    captions = captions.withColumn("words", words(F.col("text"), settings.text.letters_only))
    reasons = refusal_reasons(settings.text.max_words)
    first_reason = F.coalesce(*[F.when(condition, F.lit(reason)) for reason, condition in reasons.items()])
    judged = captions.withColumn("reason", first_reason)
    same = Window.partitionBy("image_id", "caption_no", F.col("reason").isNull()).orderBy("source", "position")
    repeated = F.col("reason").isNull() & (F.row_number().over(same) > 1)
    return judged.withColumn("reason", F.when(repeated, "duplicate_caption").otherwise(F.col("reason"))).select(
        "image_id", "caption_no", "text", "split", "words", "reason", "line", "source"
    )


def refusal_reasons(max_words: int) -> dict[str, Column]:
    """The conditions on which a caption is refused, by reason. The first condition that holds gives the reason."""
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


def refusals(captions: DataFrame) -> DataFrame:
    """The quarantine rows of the refused captions: source, key, reason, details."""
    number = F.concat(F.lit("#"), F.col("caption_no"))
    return captions.where("reason IS NOT NULL").select(
        "source",
        F.coalesce(F.concat("image_id", number), F.col("image_id"), F.substring("line", 1, 100)).alias("key"),
        "reason",
        F.substring("line", 1, 500).alias("details"),
    )


def with_split(job: Job, captions: DataFrame, corpus: Corpus) -> DataFrame:
    """Adds `splits` (all splits of the photo according to the lists) and `split`.

    Without lists, the name of the caption file gives the split, or else a hash of image_id: 80% train, 10% dev, 10% test. If
    the corpus has no split `corpus.validation_split`, a hash moves a part of the training photos into it.
    """
    settings = job.settings.corpus
    if corpus.split_lists:
        listed = read_splits(job.spark, corpus.split_lists)
        per_photo = listed.groupBy("image_id").agg(F.array_sort(F.collect_set("split")).alias("splits"))
        captions = captions.join(per_photo, "image_id", "left")
    else:
        share, train, dev = hash_share(F.col("image_id")), HASHED_SPLITS["train"], HASHED_SPLITS["dev"]
        by_hash = F.when(share < train, "train").when(share < train + dev, "dev").otherwise("test")
        captions = captions.withColumn("splits", F.array(F.coalesce("file_split", by_hash)))
    captions = captions.withColumn("split", F.try_element_at("splits", F.lit(1)))
    if settings.validation_split not in _split_names(corpus):
        job.log.info(
            f"the corpus has no split {settings.validation_split!r}; {settings.validation_fraction:.0%} of the training "
            "photos become it"
        )
        captions = captions.withColumn("split", _with_validation(settings))
    return captions


def hash_share(text: Column) -> Column:
    """A number in [0, 1) that depends on the text alone."""
    return F.conv(F.substring(F.sha2(text, 256), 1, 8), 16, 10).cast("long") / F.lit(float(2**32))


def _read_file(spark, path: str) -> DataFrame:
    file_split = F.lit(split_of_file(path)).cast("string")
    return read_captions(spark, path).withColumns({"source": F.lit(path), "file_split": file_split})


def _split_names(corpus: Corpus) -> set[str]:
    """The splits that a corpus has."""
    if corpus.split_lists:
        return set(corpus.split_lists)
    of_files = {split_of_file(path) for path in corpus.captions}
    return set(HASHED_SPLITS) if None in of_files else {split for split in of_files if split}


def _with_validation(settings: CorpusSettings) -> Column:
    """The column `split`, with a part of the training photos in the validation split."""
    share = hash_share(F.concat(F.lit("validation "), "image_id"))
    chosen = (F.col("split") == "train") & (share < settings.validation_fraction)
    return F.when(chosen, settings.validation_split).otherwise(F.col("split"))
