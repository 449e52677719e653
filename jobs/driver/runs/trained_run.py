"""A run that has finished training: which one `run.id` means, and what Spark tasks need to caption with it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from pyspark import Broadcast
from pyspark.sql import SparkSession

from conf import Settings
from jobs.driver.corpus.configured_extractor import ship_weights
from jobs.driver.job import Job
from jobs.driver.runs.champion import require_champion
from jobs.driver.runs.registry import latest_run, read_json, require_run_id, run_folder
from udfs import files
from udfs.captioner.beam_search import Search
from udfs.captioner.subwords import Subwords
from udfs.captioner.text import RESERVED
from udfs.captioner.vocabulary import Vocabulary
from udfs.captioning import resolve_run_extractor
from udfs.errors import InputError
from udfs.run_folder import RunFolder
from udfs.vision.extractor import Extractor


@dataclass(frozen=True)
class ShippedCaptioner:
    """What a Spark task needs to generate captions.

    Attributes:
        model: A Spark broadcast of the bytes of the model file.
        topology: A topology that it may have besides the project's own.
        vocabulary: Its vocabulary.
        search: How captions are searched for.
    """

    model: Broadcast
    topology: str
    vocabulary: Vocabulary
    search: Search


@dataclass(frozen=True)
class TrainedRun:
    """A run that has finished training, by its id and the files in its folder."""

    id: str
    files: RunFolder

    @cached_property
    def extractor(self) -> str:
        """The fingerprint of the extractor whose features the run was trained on."""
        return read_json(self.files.about)["extractor"]

    @cached_property
    def model(self) -> bytes:
        """The content of the model file."""
        return files.read_bytes(self.files.model)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of its captions."""
        return Vocabulary.from_json(read_json(self.files.vocabulary))

    def captioner(self, spark: SparkSession, topology: str, search: Search) -> ShippedCaptioner:
        """Sends the model to the executors. It may have the configured topology, or one of the project's own."""
        return ShippedCaptioner(spark.sparkContext.broadcast(self.model), topology, self.vocabulary, search)

    def known_words(self, words: Iterable[str]) -> set[str]:
        """The words that the vocabulary has, or that consist of its subwords."""
        words, tokens = list(words), set(self.vocabulary.tokens) - set(RESERVED)
        if self.vocabulary.tokenizer == "words":
            return tokens.intersection(words)
        split = Subwords(files.read_bytes(self.files.subwords)).split(words).to_pylist()
        return {word for word, subwords in zip(words, split, strict=True) if tokens.issuperset(subwords)}

    @contextmanager
    def shipped_extractor(self, job: Job) -> Iterator[tuple[Extractor, str | None]]:
        """Sends the weights of the run's extractor to the executors, which may fetch them as long as the context is open.

        Yields:
            The extractor, and the name of its weights file on the executors; None for random weights.

        Raises:
            InputError: If `extractor.run_weights` does not give the weights that the run was trained with.
        """
        with tempfile.TemporaryDirectory() as scratch:
            key, weights = "extractor.run_weights", job.settings.extractor.run_weights
            extractor, weights_file = resolve_run_extractor(self.files.uri, weights, scratch, key)
            yield extractor, ship_weights(job.spark, weights_file)


def chosen_run(job: Job) -> TrainedRun:
    """The finished run that `run.id` means to a job that reads a run."""
    return named_run(job, job.settings.run.id)


def named_run(job: Job, name: str, key: str = "run.id") -> TrainedRun:
    """The finished run that a name means.

    Args:
        job: The job that reads the run; it logs which run the name means.
        name: `champion`, `latest`, `auto` (the latest too), or an id.
        key: The configuration key that holds the name, for messages.

    Raises:
        InputError: If there is no such run, or it has not finished training.
    """
    if name == "champion":
        run_id = require_champion(job.settings).run
        job.log.info(f"{key}={name}: the champion is the run {run_id}")
    elif name in ("auto", "latest"):
        run_id = latest_run(job.settings)
        job.log.info(f"{key}={name}: the latest run is {run_id}")
    else:
        run_id = require_run_id(name, key)
    return require_trained(job.settings, run_id)


def require_trained(settings: Settings, run_id: str, key: str = "run.id") -> TrainedRun:
    """The run with an id, which a key of the configuration names. Raises InputError if it has no trained model."""
    folder = run_folder(settings, run_id)
    if not files.exists(folder.about) or not files.exists(folder.model):
        raise InputError(
            f"{key}: no trained model in {folder.uri}; run jobs/train.py first, or give the id of a finished run"
        )
    return TrainedRun(run_id, folder)
