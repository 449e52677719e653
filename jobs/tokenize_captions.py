"""Reads the captions, builds the vocabulary of the training split, and writes the tables `captions`, `vocabulary`, `tokens`.

Captions that cannot be used go to the table `quarantine` with a reason. All work is done in Spark's own expressions.

Keys:
    corpus.root, corpus.photos, corpus.captions: the photos, the captions and the split lists.
    corpus.validation_split, corpus.validation_fraction: the validation split, which is made from training photos if the corpus
        has none.
    text.min_count: how often a word must occur in the training captions to be in the vocabulary.
    text.max_length, text.max_words: from which length captions are cut or refused.
    text.letters_only: drop short words and words with anything but letters.
"""

from __future__ import annotations

from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.command import Outcome, run_job
from jobs.driver.corpus.captions import accept_or_refuse, refusals
from jobs.driver.corpus.layouts import Corpus, find_corpus, photo_files
from jobs.driver.corpus.vocabulary import build_vocabulary, tokenize
from jobs.driver.job import Job
from jobs.driver.runs.stored_results import stored_tables
from jobs.driver.tables.quarantine import quarantine
from jobs.driver.tables.store import TableStore
from udfs.captioner.text import vocabulary_fingerprint
from udfs.errors import InputError

TABLES = ("captions", "vocabulary", "tokens")
TEXT_KEYS = ("min_count", "max_length", "letters_only", "max_words")
KEPT = StorageLevel.MEMORY_AND_DISK


def main(job: Job) -> Outcome:
    corpus = find_corpus(job.spark, job.settings)
    made_from = provenance(job, corpus)
    tables = {name: job.warehouse.table(name) for name in TABLES}
    if stored := stored_tables(tables, made_from):
        note, versions = stored
        return outcome(versions, note, unchanged=note["accepted"])

    captions = accept_or_refuse(job, corpus).persist(KEPT)
    accepted = captions.where("reason IS NULL").drop("reason", "line")
    rows_in, kept = captions.count(), accepted.count()
    if not rows_in:
        raise InputError(f"corpus.captions: found no captions in {', '.join(corpus.captions)}; check the file")
    refused = quarantine(job, refusals(captions))
    if accepted.where("split = 'train'").isEmpty():
        raise InputError(
            f"corpus.captions: none of {rows_in} captions can be used for training ({refused} are in the table quarantine "
            "with reasons); check that the train list names photos that are in the corpus"
        )
    text = job.settings.text
    vocabulary = build_vocabulary(accepted, text.min_count).persist(KEPT)
    ordered = [row.token for row in vocabulary.orderBy("token_id").collect()]
    fingerprint = vocabulary_fingerprint(ordered, text.max_length, text.letters_only)
    tokens = tokenize(accepted, vocabulary, text.max_length, fingerprint).persist(KEPT)

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


def outcome(versions: dict[str, int], note: dict[str, Any], unchanged: int) -> Outcome:
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


def provenance(job: Job, corpus: Corpus) -> dict[str, Any]:
    """What the tables follow from: the text files' contents, the photos' names, and the settings."""
    settings = job.settings
    files = [*corpus.captions, *corpus.split_lists.values()]
    contents = job.spark.read.format("binaryFile").load(files).select("path", F.sha2("content", 256).alias("hash"))
    names = photo_files(job.spark, corpus.photos).select(F.xxhash64("image_id").alias("hash"))
    photos = names.agg(F.count("*").alias("n"), F.bit_xor("hash").alias("x")).first()
    return {
        "files": {row.path: row.hash for row in contents.collect()},
        "photos": [photos.n, photos.x],
        "text": {key: getattr(settings.text, key) for key in TEXT_KEYS},
        "validation": [settings.corpus.validation_split, settings.corpus.validation_fraction],
    }


def rows_in_common(rows: DataFrame, table: TableStore) -> int:
    """How many of the rows the table holds already, with equal values in every column."""
    if table.version() is None:
        return 0
    return rows.join(table.read(), rows.columns, "left_semi").count()


if __name__ == "__main__":
    run_job(main, __doc__)
