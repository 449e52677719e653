"""Compares the evaluated photos and captions with those of training: do the scores hold beyond the training photos?

The population is the split evaluate.split of the corpus, which evaluate must have captioned, or the second corpus
external.root, whose photos are extracted and captioned here. Writes `external/<population>.json` into the run's folder, and
the run's page again.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import asdict, replace
from functools import reduce

import pandas as pd
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import evaluate, extract_features, tokenize_captions
from jobs.driver.corpus.extractors import resolve_extractor, ship_weights
from jobs.driver.corpus.layouts import NoCaptions, at_root, find_corpus, find_photos
from jobs.driver.job import Job, Outcome, run_job
from jobs.driver.page import write_page
from jobs.driver.runs.champion import named_run, require_trained
from jobs.driver.runs.registry import read_json, write_json
from jobs.driver.runs.snapshot import pinned
from jobs.driver.scoring.baselines import with_counts
from jobs.driver.validity.conclusions import farthest, gaps, verdict
from jobs.driver.validity.distances import Distances, measure_distances
from jobs.driver.validity.near_duplicates import look_alikes, photo_hashes
from jobs.driver.validity.photo_groups import group_scores
from jobs.driver.validity.population import Population, lengths, named_objects, nouns, profile, token_table
from jobs.driver.validity.word_shift import missing_words, unseen_words, word_shift
from udfs.captioner.text import words
from udfs.errors import InputError

FARTHEST = 8  # photos that are shown
KEPT = StorageLevel.MEMORY_AND_DISK


def main(job: Job) -> Outcome:
    return validate(job, named_run(job, job.settings.run.id))


def validate(job: Job, run_id: str) -> Outcome:
    folder = require_trained(job.settings, run_id)
    extractor = read_json(f"{folder}/run.json")["extractor"]
    captions, captions_version = pinned(job, "captions", "tokenize_captions")
    features, features_version = pinned(job, "features", "extract_features")
    versions = {"captions": captions_version, "features": features_version}
    features = features.where(F.col("extractor") == extractor)
    if job.settings.external.root == "none":
        split = job.settings.evaluate.split
        scored, made_from = evaluated(job, run_id, split)
        training, other = populations(job, ["train", split], captions, features)
        other = replace(other, scored=scored)
    else:
        (training,) = populations(job, ["train"], captions, features)
        other, made_from = second_corpus(job, folder, extractor)
    made_from |= {**versions, "external": asdict(job.settings.external), "bootstrap": asdict(job.settings.bootstrap)}
    uri = f"{folder}/external/{slug(other.name)}.json"
    last = read_json(uri) or {}
    photos = other.features.count()
    if last.get("made_from") == made_from:
        return outcome(run_id, photos, last, 0)
    for population in (training, other):
        if population.features.isEmpty():
            raise InputError(
                f"table features: no photo of {population.name} has a feature of {extractor}, which the run {run_id} was "
                "trained on; run jobs/extract_features.py with that extractor"
            )
    found = compare(job, folder, training, other)
    found = {"made_from": made_from, "population": other.name, "photos": photos, **found}
    write_json(uri, found)
    write_page(job, run_id, job.settings.evaluate.split)
    return outcome(run_id, photos, found, photos)


def outcome(run_id: str, photos: int, found: dict, written: int) -> Outcome:
    names = ("predictions", "captions", "features")
    versions = {name: found["made_from"][name] for name in names if name in found["made_from"]}
    metrics = {key: found[key] for key in ("population", "verdict", "gaps")}
    metrics["look_alikes"] = len(found["look_alikes"])
    return Outcome(None, run_id, None, photos, written, photos - written, 0, metrics, versions)


def populations(job: Job, splits: list[str], captions: DataFrame, features: DataFrame) -> list[Population]:
    """The photos of each split that have features, with its captions. All photos are hashed in one pass over their files."""
    mine = [captions.where(F.col("split") == split) for split in splits]
    rows = [features.join(part.select("image_id").distinct(), "image_id").persist(KEPT) for part in mine]
    hashes = photo_hashes(job, find_photos(job.spark, job.settings), reduce(DataFrame.unionByName, rows)).persist(KEPT)
    cleaned = words(F.col("text"), job.settings.text.letters_only).alias("words")
    return [
        Population(
            split,
            features=row.select("image_id", "feature"),
            hashes=hashes.join(row.select("image_id"), "image_id"),
            captions=part.select("image_id", cleaned).persist(KEPT),
        )
        for split, part, row in zip(splits, mine, rows, strict=True)
    ]


def evaluated(job: Job, run_id: str, split: str) -> tuple[DataFrame, dict]:
    """The run's captions of a split in the table `predictions`, and what they were made from."""
    if split == "train":
        raise InputError(
            "evaluate.split: found train, expected another split to compare with training; set it to dev or test"
        )
    table = job.warehouse.require("predictions", "evaluate")
    version = table.version()
    scored = table.read(version).where((F.col("run_id") == run_id) & (F.col("split") == split)).persist(KEPT)
    if scored.isEmpty():
        raise InputError(
            f"evaluate.split: the table predictions has no captions of the split {split!r} by the run {run_id}; "
            f"run jobs/evaluate.py run.id={run_id} evaluate.split={split} first"
        )
    evaluation = read_json(f"{require_trained(job.settings, run_id)}/evaluate-{split}.json") or {}
    return scored, {"predictions": version, "evaluated": evaluation.get("made_from")}


def second_corpus(job: Job, folder: str, extractor: str) -> tuple[Population, dict]:
    """The population of external.root, with features of the run's extractor and its captions, and what it was made from."""
    other = beside(job)
    photos = find_photos(other.spark, other.settings)
    with tempfile.TemporaryDirectory() as scratch:
        found, weights = resolve_extractor(job.settings.extractor, scratch)
        if found.fingerprint != extractor:
            raise InputError(
                f"extractor: the configuration means {found.fingerprint}, but the run was trained on {extractor}; "
                "give the run's configuration"
            )
        extracted = extract_features.extract_folder(other, photos, found, ship_weights(job.spark, weights))
    features = other.warehouse.table("features").read(extracted.version).where(F.col("extractor") == extractor)
    listed = extract_features.list_photos(other, photos).select("image_id", "content_hash")
    features = features.join(listed, ["image_id", "content_hash"], "left_semi").persist(KEPT)
    hashes = photo_hashes(other, photos, features).persist(KEPT)
    population = Population(job.settings.external.root, features.select("image_id", "feature"), hashes)
    names = features.agg(F.count("*").alias("n"), F.bit_xor(F.xxhash64("image_id", "content_hash")).alias("x")).first()
    made_from = {"root": job.settings.external.root, "photos": [names.n, names.x], "text": None}
    captions = captions_of(other)
    if captions is not None:
        made_from["text"] = captions.agg(F.bit_xor(F.xxhash64("image_id", "words"))).first()[0]
        scored = captioned(job, folder, features, captions)
        population = replace(population, captions=captions.select("image_id", "words"), scored=scored)
    return population, made_from


def beside(job: Job) -> Job:
    """The same job for the second corpus, whose tables have names of their own."""
    other = Job(f"{job.name}: second corpus", at_root(job.settings, job.settings.external.root))
    other.spark, other.warehouse = job.spark, job.warehouse.prefixed("external_")
    return other


def captions_of(other: Job) -> DataFrame | None:
    """image_id, caption_no, text and words of the captions that can be used, whatever their split; None without any."""
    try:
        corpus = replace(find_corpus(other.spark, other.settings), split_lists={})
    except NoCaptions:
        return None
    accepted = tokenize_captions.accept_or_refuse(other, corpus).where("reason IS NULL")
    captions = accepted.select("image_id", "caption_no", "text", "words").persist(KEPT)
    return None if captions.isEmpty() else captions


def captioned(job: Job, folder: str, features: DataFrame, captions: DataFrame) -> DataFrame:
    """The run's captions of the second corpus, with the counts that BLEU needs."""
    references = evaluate.split_references(captions.withColumn("split", F.lit("all")), "all")
    with_references = features.join(references.select("image_id"), "image_id")
    rows = evaluate.generate(job, with_references, folder).join(references, "image_id")
    return with_counts(rows).persist(KEPT)


def compare(job: Job, folder: str, training: Population, other: Population) -> dict:
    """Everything that is said of the two populations, as it is written to the run's folder."""
    settings = job.settings.external
    distances = measure_distances(training.features, other.features, settings.seed)
    pairs = look_alikes(training.hashes, other.hashes, settings.same_bits)
    far = distances.photos.sort_values("distance", ascending=False).head(FARTHEST)
    found = {
        "distances": distances.summary, "farthest": far.to_dict("records"), "look_alikes": pairs.to_dict("records"),
        "captions": None,
    }  # fmt: skip
    if other.captions is not None:
        known = set(read_json(f"{folder}/vocabulary.json")["tokens"])
        found |= compare_captions(job, training, other, known, distances, set(pairs.image_id))
    return {**found, "verdict": verdict(found), "gaps": gaps(found)}


def compare_captions(
    job: Job, training: Population, other: Population, known: set[str], distances: Distances, leaked: set[str]
) -> dict:
    settings = job.settings.external
    tokens = token_table(training.captions, other.captions)
    captions = {
        name: profile(side.captions, lengths(side.captions), tokens, column, known)
        for name, side, column in (("training", training, "training"), ("evaluation", other, "other"))
    }
    sizes = captions["training"]["photos"], captions["evaluation"]["photos"]
    shift = word_shift(tokens, *sizes, settings.words)
    names = nouns(tokens)
    objects = named_objects(other.captions, names).toPandas()
    groups = group_scores(other.scored, distances.photos, leaked, objects, settings, job.settings.bootstrap)
    named = [group["name"] for group in groups if group["kind"] == "object"]
    seen = named_objects(training.captions, named).groupBy("token").count().toPandas() if named else pd.DataFrame()
    return {
        "captions": captions,
        "words": shift,
        "unseen_words": unseen_words(tokens),
        "missing_words": missing_words(shift, tokens, sizes[0]),
        "groups": groups,
        "training_objects": {row.token: int(row["count"]) for _, row in seen.iterrows()},
        "far_words": far_words(other.captions, distances.photos, groups, settings.words),
    }


def far_words(captions: DataFrame, photos: pd.DataFrame, groups: list[dict], most: int) -> list[dict]:
    """The words by which the captions of the farthest photos differ from those of the others."""
    edge = (farthest(groups) or {}).get("from")
    if edge is None:
        return []
    is_far = captions.join(captions.sparkSession.createDataFrame(photos[["image_id", "distance"]]), "image_id")
    near, far = is_far.where(F.col("distance") < edge), is_far.where(F.col("distance") >= edge)
    counts = [int((photos.distance < edge).sum()), int((photos.distance >= edge).sum())]
    return word_shift(token_table(near, far), *counts, most)["over_represented"]


def slug(name: str) -> str:
    """A file name for a population: the split's name, or the last part of a corpus's URI with a hash of the whole."""
    if re.fullmatch(r"[\w-]+", name):
        return name
    last = re.sub(r"[^\w-]+", "_", name.rstrip("/").rsplit("/", 1)[-1])[:40]
    return f"{last}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


if __name__ == "__main__":
    run_job(main, __doc__)
