"""Shows how a corpus is read, and writes nothing: files, forms, columns, encoding, splits, counts and the first captions.

Ends with exit code 2 if it is ambiguous how to read the corpus; the message names the key that decides. The JSON line holds all
that is logged. `dry_run=true` makes extract_features, tokenize_captions and run_pipeline stop after the same messages.

Keys:
    corpus.root, corpus.photos, corpus.captions: the photos and the captions.
    corpus.columns, corpus.encoding: the columns and the encoding of the caption files.
    corpus.splits: the split lists.
    corpus.match: how the names in captions and lists are matched with photos.
    corpus.validation_split, corpus.validation_fraction: the validation split, if the corpus has none.
"""

from __future__ import annotations

from pyspark import StorageLevel

from jobs.driver.command import Outcome, run_job
from jobs.driver.corpus.captions import accept_or_refuse
from jobs.driver.corpus.inspection import (
    describe_files,
    inspect,
    log_counts,
    log_files,
    require_separate_files,
    require_usable,
)
from jobs.driver.corpus.layouts import find_corpus
from jobs.driver.job import Job


def main(job: Job) -> Outcome:
    corpus = find_corpus(job.spark, job.settings)
    log_files(job, corpus)
    captions = accept_or_refuse(job, corpus).persist(StorageLevel.MEMORY_AND_DISK)
    require_separate_files(corpus, captions)
    inspection = inspect(job, corpus, captions)
    log_counts(job, inspection)
    captions.unpersist()
    require_usable(job, corpus, inspection)
    return Outcome(metrics={**describe_files(corpus), **inspection.counts()})


if __name__ == "__main__":
    run_job(main, __doc__)
