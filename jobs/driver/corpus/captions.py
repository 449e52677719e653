"""Reads a corpus's captions with their splits and words, and decides which of them are refused."""

from __future__ import annotations

from functools import reduce

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from conf.schema import Corpus as CorpusSettings
from jobs.driver.corpus.caption_files import CaptionFile, read_captions, split_of_file
from jobs.driver.corpus.layouts import Corpus
from jobs.driver.corpus.matching import PhotoNames
from jobs.driver.corpus.photo_listing import photo_ids, printable
from jobs.driver.corpus.split_lists import read_list
from jobs.driver.job import Job
from jobs.driver.spark.hadoop_files import HadoopFiles
from udfs.captioner.text import words

HASHED_SPLITS = {"train": 0.8, "dev": 0.1, "test": 0.1}


def accept_or_refuse(job: Job, corpus: Corpus) -> DataFrame:
    """Reads every caption of a corpus.

    Returns:
        One row for each caption: image_id, caption_no, text, split, words (array of strings), reason (null if the caption is
        accepted), line (as it is in the file), source (the file) and position (grows with the place in the file).
    """
    spark, settings = job.spark, job.settings
    captions = reduce(DataFrame.unionByName, [_read_file(spark, file) for file in corpus.captions])
    captions = with_photo(captions, corpus, settings.corpus.match)
    captions = with_split(job, captions, corpus)
    captions = captions.withColumn("words", words(F.col("text"), settings.text.letters_only))
    reasons = refusal_reasons(settings.text.max_words)
    first_reason = F.coalesce(*[F.when(condition, F.lit(reason)) for reason, condition in reasons.items()])
    judged = captions.withColumn("reason", first_reason)
    same = Window.partitionBy("image_id", "caption_no", F.col("reason").isNull()).orderBy("source", "position")
    repeated = F.col("reason").isNull() & (F.row_number().over(same) > 1)
    return judged.withColumn("reason", F.when(repeated, "duplicate_caption").otherwise(F.col("reason"))).select(
        "image_id", "caption_no", "text", "split", "words", "reason", "line", "source", "position"
    )


def refusal_reasons(max_words: int) -> dict[str, Column]:
    """The conditions on which a caption is refused, by reason. The first condition that holds gives the reason."""
    parsed = F.col("image_id").isNotNull() & F.col("caption_no").isNotNull()
    unknown = F.col("known").isNull()
    return {
        "invalid_utf8": ~F.col("valid"),
        "malformed": ~parsed | (F.col("joined") & unknown),
        "outside_corpus": unknown & F.col("image_id").rlike(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:|\x00"),
        "ambiguous_photo": F.col("ambiguous"),
        "unknown_photo": unknown,
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


def photo_names(corpus: Corpus, match: str) -> PhotoNames:
    """The photos of a corpus, with the way in which names are matched."""
    return PhotoNames(tuple(printable(file.name) for file in corpus.names), match)


def with_photo(captions: DataFrame, corpus: Corpus, match: str) -> DataFrame:
    """Adds `known` (true or null) and `ambiguous`, and puts the photo's own name for one that is matched."""
    spark, names = captions.sparkSession, photo_names(corpus, match)
    photos = photo_ids(spark, corpus.names).select("image_id", F.lit(True).alias("exact"))
    captions = captions.join(photos, "image_id", "left")
    if names.is_exact:
        return captions.withColumnsRenamed({"exact": "known"}).withColumn("ambiguous", F.lit(False))
    others = captions.where("exact IS NULL AND image_id IS NOT NULL").select("image_id").distinct().collect()
    matched = [(row.image_id, *names.photo(row.image_id)) for row in others]
    table = spark.createDataFrame(matched, "image_id string, photo string, several boolean")
    known = F.when(F.col("exact") | F.col("photo").isNotNull(), True)
    return (
        captions.join(table, "image_id", "left")
        .withColumns({"known": known, "ambiguous": F.coalesce("several", F.lit(False))})
        .withColumn("image_id", F.coalesce("photo", "image_id"))
        .drop("exact", "photo", "several")
    )


def with_split(job: Job, captions: DataFrame, corpus: Corpus) -> DataFrame:
    """Adds `splits` (all splits of the photo) and `split`.

    The splits are those of the lists and those that the caption files name. Without both, the names of the caption files give
    the split, or else a hash of image_id: 80% train, 10% dev, 10% test. If the corpus has no split `corpus.validation_split`,
    a hash moves a part of the training photos into it.
    """
    settings, by_hash = job.settings.corpus, F.array(_hashed_split())
    named = captions.where("named_split != ''").select("image_id", F.col("named_split").alias("split")).distinct()
    of_file = captions.where("file_split IS NOT NULL").select("image_id", F.col("file_split").alias("split"))
    source, names = split_source(corpus), split_names(corpus)
    if source in ("lists", "lists and column", "column"):
        parts = [_listed_splits(job, corpus)] if corpus.split_lists else []
        if source != "lists":
            parts.append(named)
            names |= {row.split for row in named.select("split").distinct().collect()}
        captions = captions.join(_split_sets(reduce(DataFrame.unionByName, parts)), "image_id", "left")
    elif source == "file names":
        captions = captions.join(_split_sets(of_file), "image_id", "left")
        captions = captions.withColumn("splits", F.coalesce("splits", by_hash))
    else:
        captions = captions.withColumn("splits", by_hash)
    captions = captions.withColumn("split", F.try_element_at("splits", F.lit(1)))
    if settings.validation_split not in names:
        job.log.info(
            f"the corpus has no split {settings.validation_split!r}; {settings.validation_fraction:.0%} of the training "
            "photos become it"
        )
        captions = captions.withColumn("split", _with_validation(settings))
    return captions


def split_source(corpus: Corpus) -> str:
    """Where the splits come from: lists, column, lists and column, file names, or hash."""
    column = any(file.form.has_splits for file in corpus.captions)
    if not corpus.uses_splits:
        return "hash"
    if corpus.split_lists:
        return "lists and column" if column else "lists"
    if column:
        return "column"
    return "file names" if any(split_of_file(file.path) for file in corpus.captions) else "hash"


def split_names(corpus: Corpus) -> set[str]:
    """The splits that a corpus has by its lists, its files' names or a hash; those of a column are not known yet."""
    source = split_source(corpus)
    if source == "hash":
        return set(HASHED_SPLITS)
    if source == "file names":
        of_files = {split_of_file(file.path) for file in corpus.captions}
        return set(HASHED_SPLITS) if None in of_files else {split for split in of_files if split}
    return set(corpus.split_lists)


def hash_share(text: Column) -> Column:
    """A number in [0, 1) that depends on the text alone."""
    return F.conv(F.substring(F.sha2(text, 256), 1, 8), 16, 10).cast("long") / F.lit(float(2**32))


def _read_file(spark: SparkSession, file: CaptionFile) -> DataFrame:
    file_split = F.lit(split_of_file(file.path)).cast("string")
    rows = read_captions(spark, file).withColumnRenamed("split", "named_split")
    return rows.withColumns({"source": F.lit(file.path), "file_split": file_split})


def _hashed_split() -> Column:
    share, train, dev = hash_share(F.col("image_id")), HASHED_SPLITS["train"], HASHED_SPLITS["dev"]
    return F.when(share < train, "train").when(share < train + dev, "dev").otherwise("test")


def _listed_splits(job: Job, corpus: Corpus) -> DataFrame:
    """image_id and split of the photos in the lists; a name that means no photo stays as it is."""
    storage, photos = HadoopFiles(job.spark), photo_names(corpus, job.settings.corpus.match)
    rows = {
        (photos.photo(name)[0] or name, split): None
        for split, path in sorted(corpus.split_lists.items())
        for name in read_list(storage, path)
    }
    if not rows:
        return job.spark.createDataFrame([], "image_id string, split string")
    ids, splits = zip(*rows, strict=True)
    return job.spark.createDataFrame(pa.table({"image_id": pa.array(ids), "split": pa.array(splits)}))


def _split_sets(rows: DataFrame) -> DataFrame:
    return rows.groupBy("image_id").agg(F.array_sort(F.collect_set("split")).alias("splits"))


def _with_validation(settings: CorpusSettings) -> Column:
    """The column `split`, with a part of the training photos in the validation split."""
    share = hash_share(F.concat(F.lit("validation "), "image_id"))
    chosen = (F.col("split") == "train") & (share < settings.validation_fraction)
    return F.when(chosen, settings.validation_split).otherwise(F.col("split"))
