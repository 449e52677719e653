"""Reads the captions, builds the vocabulary of the training split, and writes the tables `captions`, `vocabulary`, `tokens`.

Captions that cannot be used go to the table `quarantine` with a reason.

Keys:
    corpus.root, corpus.photos, corpus.captions, corpus.columns, corpus.encoding, corpus.splits, corpus.match: the photos, the
        captions and the split lists; jobs/inspect_corpus.py shows how they are read.
    corpus.dry_run: show how the corpus is read, and write nothing.
    corpus.validation_split, corpus.validation_fraction: the validation split, which is made from training photos if the corpus
        has none.
    text.min_count: how often a word must occur in the training captions to be in the vocabulary.
    text.max_length, text.max_words: from which length captions are cut or refused.
    text.letters_only: drop short words and words with anything but letters.
    text.tokenizer: what captions are split into: words, or subwords for languages that are written without spaces.
    text.max_subwords: the largest number of subwords.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame

from conf.schema import Text
from jobs.driver.command import Outcome, run_job
from jobs.driver.corpus.captions import accept_or_refuse, refusals
from jobs.driver.corpus.inspection import (
    describe_files,
    inspect,
    log_counts,
    log_files,
    require_separate_files,
    require_usable,
)
from jobs.driver.corpus.layouts import Corpus, find_corpus
from jobs.driver.corpus.photo_listing import printable
from jobs.driver.corpus.repetition import Repetition, measure_repetition, repetition_warnings, require_repetition
from jobs.driver.corpus.vocabulary import build_vocabulary, count_tokens, learn_subwords, tokenize, with_subwords
from jobs.driver.job import Job
from jobs.driver.runs.stored_results import stored_tables
from jobs.driver.spark.hadoop_files import HadoopFiles
from jobs.driver.tables.quarantine import quarantine
from jobs.driver.tables.store import TableStore
from udfs.captioner.text import vocabulary_fingerprint
from udfs.captioner.words import NORMALISATION

TABLES = ("captions", "vocabulary", "tokens")
TEXT_KEYS = ("min_count", "max_length", "letters_only", "max_words", "tokenizer")
SUBWORD_KEYS = ("max_subwords",)  # of no effect on words
KEPT = StorageLevel.MEMORY_AND_DISK


def main(job: Job) -> Outcome:
    corpus = find_corpus(job.spark, job.settings)
    log_files(job, corpus)
    made_from = provenance(job, corpus)
    tables = {name: job.warehouse.table(name) for name in TABLES}
    if not job.settings.corpus.dry_run and (stored := stored_tables(tables, made_from)):
        note, versions = stored
        warn(job, note)
        return outcome(versions, note, unchanged=note["accepted"])

    captions = accept_or_refuse(job, corpus).persist(KEPT)
    require_separate_files(corpus, captions)
    inspection = inspect(job, corpus, captions)
    log_counts(job, inspection)
    if job.settings.corpus.dry_run:
        return Outcome(metrics={**describe_files(corpus), **inspection.counts()})
    accepted = captions.where("reason IS NULL").drop("reason", "line", "position")
    rows_in, kept = inspection.rows, sum(inspection.accepted.values())
    refused = quarantine(job, refusals(captions))
    require_usable(job, corpus, inspection)
    tokenized = tokenize_accepted(accepted, job.settings.text)
    unchanged = rows_in_common(tokenized.tokens, tables["tokens"])
    note = {
        "made_from": made_from, "rows_in": rows_in, "accepted": kept, "quarantined": refused,
        "vocabulary": tokenized.fingerprint, "vocabulary_size": tokenized.size, "text": made_from["text"],
        "repetition": asdict(tokenized.repetition),
    }  # fmt: skip
    rows = {
        "captions": accepted.select("image_id", "caption_no", "text", "split"),
        "vocabulary": tokenized.vocabulary, "tokens": tokenized.tokens,
    }  # fmt: skip
    versions = {name: tables[name].replace(rows[name], note) for name in TABLES}
    warn(job, note)
    return outcome(versions, note, unchanged)


@dataclass(frozen=True)
class Tokenized:
    """The tables `vocabulary` and `tokens`, and what describes them."""

    vocabulary: DataFrame
    tokens: DataFrame
    fingerprint: str
    size: int
    repetition: Repetition


def tokenize_accepted(accepted: DataFrame, text: Text) -> Tokenized:
    """Builds the vocabulary of the training captions and tokenizes all captions.

    Raises:
        InputError: If the vocabulary would be empty.
    """
    model, split = b"", accepted
    if text.tokenizer == "subwords":
        model = learn_subwords(accepted, text.max_subwords)
        split = with_subwords(accepted, model).persist(KEPT)
    counts = count_tokens(split).persist(KEPT)
    repetition = measure_repetition(split, counts, text)
    require_repetition(text, repetition)
    vocabulary = build_vocabulary(counts, text.min_count, model).persist(KEPT)
    ordered = [row.token for row in vocabulary.orderBy("token_id").select("token").collect()]
    fingerprint = vocabulary_fingerprint(ordered, text.max_length, text.letters_only, text.tokenizer, model)
    tokens = tokenize(split, ordered, text.max_length, fingerprint).persist(KEPT)
    return Tokenized(vocabulary, tokens, fingerprint, len(ordered), repetition)


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


def warn(job: Job, note: dict[str, Any]) -> None:
    """Logs what is unfavourable about the vocabulary that a note describes."""
    for warning in repetition_warnings(job.settings.text, Repetition(**note["repetition"])):
        job.log.warning(warning)


def provenance(job: Job, corpus: Corpus) -> dict[str, Any]:
    """What the tables follow from: the text files' contents, the photos' names, and the settings."""
    settings = job.settings
    text_keys = (*TEXT_KEYS, *SUBWORD_KEYS) if settings.text.tokenizer == "subwords" else TEXT_KEYS
    storage = HadoopFiles(job.spark)
    files = [*(file.path for file in corpus.captions), *corpus.split_lists.values()]
    names = hashlib.sha256("\0".join(printable(file.name) for file in corpus.names).encode())
    return {
        "files": {path: storage.sha256(path) for path in files},
        "form": [settings.corpus.columns, settings.corpus.splits, settings.corpus.match, settings.corpus.encoding],
        "photos": [len(corpus.names), names.hexdigest()],
        "text": {key: getattr(settings.text, key) for key in text_keys},
        "normalisation": NORMALISATION,
        "validation": [settings.corpus.validation_split, settings.corpus.validation_fraction],
    }


def rows_in_common(rows: DataFrame, table: TableStore) -> int:
    """How many of the rows the table holds already, with equal values in every column."""
    if table.version() is None:
        return 0
    return rows.join(table.read(), rows.columns, "left_semi").count()


if __name__ == "__main__":
    run_job(main, __doc__)
