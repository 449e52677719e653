"""Describes how a corpus is read: files, forms, splits, counts, the first captions, and why others are refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.corpus.captions import photo_names, split_names, split_source
from jobs.driver.corpus.layouts import Corpus
from jobs.driver.corpus.matching import hint
from jobs.driver.corpus.split_lists import read_list
from jobs.driver.job import Job
from jobs.driver.spark.hadoop_files import HadoopFiles
from udfs.errors import InputError

UNKNOWN_NAMES = 2000  # so many names of no photo are compared with the photos
SOURCES = {
    "lists": "split lists",
    "column": "the caption file",
    "lists and column": "split lists and the caption file together",
    "file names": "the caption files' names",
    "hash": "a hash of the photos' names: 80% train, 10% dev, 10% test",
}


@dataclass(frozen=True)
class Inspection:
    """What a corpus holds.

    Attributes:
        rows: The number of captions.
        accepted: {split: captions that can be used}.
        photos: {split: photos with such captions}.
        refused: {reason: captions that cannot be used}.
        first: The first three captions of the first file: (photo, caption, split).
        advice: Why captions are refused, with an example and the key that changes it.
    """

    rows: int
    accepted: dict[str, int]
    photos: dict[str, int]
    refused: dict[str, int]
    first: list[tuple[str, str, str]]
    advice: list[str]

    def counts(self) -> dict[str, Any]:
        """The counts and the first captions, as JSON values."""
        return {
            "captions": self.rows, "accepted": self.accepted, "photos_by_split": self.photos, "refused": self.refused,
            "first_captions": [list(row) for row in self.first],
        }  # fmt: skip


def inspect(job: Job, corpus: Corpus, captions: DataFrame) -> Inspection:
    """Counts captions as `accept_or_refuse` returns them, which should be persisted."""
    groups = captions.groupBy("reason", "split").agg(
        F.count("*").alias("rows"), F.countDistinct("image_id").alias("photos")
    )
    accepted, photos, refused = Counter[str](), Counter[str](), Counter[str]()
    for group in groups.collect():
        if group.reason is None:
            accepted[group.split], photos[group.split] = group.rows, group.photos
        else:
            refused[group.reason] += group.rows
    first_file = captions.where((F.col("source") == corpus.captions[0].path) & F.col("reason").isNull())
    first = [(row.image_id, row.text, row.split) for row in first_file.orderBy("position").limit(3).collect()]
    advice = _advice(job, corpus, captions) if refused else []
    ordered = dict(refused.most_common())
    return Inspection(
        accepted.total() + refused.total(),
        dict(sorted(accepted.items())),
        dict(sorted(photos.items())),
        ordered,
        first,
        advice,
    )


def describe_files(corpus: Corpus) -> dict[str, Any]:
    """The files of a corpus and how they are read, as JSON values."""
    return {
        "photos": {"folder": corpus.photos, "files": len(corpus.names)},
        "caption_files": [
            {"file": file.path, "form": file.form.description, "encoding": file.head.encoding}
            for file in corpus.captions
        ],
        "splits": {"from": SOURCES[split_source(corpus)], "lists": corpus.split_lists},
        "not_used": corpus.left_out,
    }


def log_files(job: Job, corpus: Corpus) -> None:
    """Logs which files a corpus consists of, their forms and where the splits come from."""
    described = describe_files(corpus)
    job.log.info(f"photos: {len(corpus.names)} files in {corpus.photos}")
    for file in described["caption_files"]:
        job.log.info(f"captions: {file['file']}, read as {file['form']}, {file['encoding']}")
    lists = ", ".join(f"{split}={path}" for split, path in sorted(corpus.split_lists.items()))
    job.log.info(f"splits: from {described['splits']['from']}{f' ({lists})' if lists else ''}")
    for name, why in list(corpus.left_out.items())[:5]:
        job.log.info(f"not used: {name}, {why}")


def log_counts(job: Job, inspection: Inspection) -> None:
    """Logs the numbers of captions, the first of them, and why others are refused."""
    splits = ", ".join(
        f"{rows} {split} of {inspection.photos[split]} photos" for split, rows in inspection.accepted.items()
    )
    refused = ", ".join(f"{rows} {reason}" for reason, rows in inspection.refused.items())
    job.log.info(f"{inspection.rows} captions: {splits or 'none accepted'}{f'; refused: {refused}' if refused else ''}")
    for image_id, text, split in inspection.first:
        job.log.info(f"{split}: {image_id}: {text.strip()[:200]}")
    for line in inspection.advice:
        job.log.warning(line)


def require_usable(job: Job, corpus: Corpus, inspection: Inspection) -> None:
    """Checks that a corpus has captions for training and for validation.

    Raises:
        InputError: It has none; the message has the commonest reason with an example.
    """
    settings, photos = job.settings.corpus, sum(inspection.photos.values())
    if not inspection.rows:
        paths = ", ".join(file.path for file in corpus.captions)
        raise InputError(f"corpus.captions: found no captions in {paths}; check the file")
    few = f"corpus.root: found {photos} photos with captions, which are too few for a split"
    dealt = split_source(corpus) == "hash"
    if not inspection.accepted.get("train"):
        if dealt and photos:
            raise InputError(f"{few} 'train' of {SOURCES['hash']}; add photos, or name the splits in lists")
        refused = sum(inspection.refused.values())
        advice = "; ".join(inspection.advice) or "check that the train list names photos that are in the corpus"
        raise InputError(
            f"corpus.captions: none of {inspection.rows} captions can be used for training ({refused} are in the table "
            f"quarantine with reasons); {advice}"
        )
    if inspection.accepted.get(settings.validation_split):
        return
    if dealt and settings.validation_split in split_names(corpus):
        raise InputError(
            f"{few} {settings.validation_split!r} of {SOURCES['hash']}; add photos, or name the splits in lists, in a column "
            "or with corpus.splits"
        )
    if split_source(corpus) in ("lists", "file names") and settings.validation_split not in split_names(corpus):
        raise InputError(
            f"{few} {settings.validation_split!r}: {settings.validation_fraction:.0%} of {inspection.photos['train']} training "
            "photos are none; add photos, raise corpus.validation_fraction, or list the split's photos"
        )


def require_separate_files(corpus: Corpus, captions: DataFrame) -> None:
    """Refuses caption files of the same photos, which hold the same captions or other versions of them.

    Raises:
        InputError: Half of the captions of a file have the photo and the number of a caption in another file.
    """
    if len(corpus.captions) < 2:
        return
    repeated = F.count(F.when(F.col("reason") == "duplicate_caption", True)).alias("repeated")
    for row in captions.groupBy("source").agg(F.count("*").alias("rows"), repeated).orderBy("source").collect():
        if 2 * row.repeated > row.rows:
            used = [file.path.rsplit("/", 1)[-1] for file in corpus.captions]
            raise InputError(
                f"corpus.captions: {row.repeated} of {row.rows} captions in {row.source} are of photos whose captions another "
                f"file holds; set corpus.captions to one of {', '.join(used)}"
            )


def _advice(job: Job, corpus: Corpus, captions: DataFrame) -> list[str]:
    """The commonest reason with an example and the assumed form, and what names of no photo have in common with photos."""
    refused = captions.where("reason IS NOT NULL")
    groups = refused.groupBy("reason", "source").agg(F.count("*").alias("rows"), F.first("line").alias("line"))
    top = groups.orderBy(F.desc("rows"), "reason", "source").first()
    forms = {file.path: file.form.description for file in corpus.captions}
    line = " ".join(top.line.split())[:120]
    advice = [
        f"{top.rows} rows are refused as {top.reason}, such as {line!r} in {top.source}, read as {forms[top.source]}"
    ]
    photos = photo_names(corpus, job.settings.corpus.match)
    unknown = refused.where("reason IN ('unknown_photo', 'outside_corpus')").select("image_id").distinct()
    if names := [row.image_id for row in unknown.limit(UNKNOWN_NAMES).collect()]:
        advice.append(f"unknown photos in the captions: {hint(sorted(names), photos)}")
    if top.reason == "in_no_split" and corpus.split_lists:
        storage = HadoopFiles(job.spark)
        listed = [name for path in corpus.split_lists.values() for name in read_list(storage, path)]
        if missing := [name for name in listed if photos.photo(name)[0] is None][:UNKNOWN_NAMES]:
            advice.append(f"unknown photos in the split lists: {hint(missing, photos)}")
    return advice
