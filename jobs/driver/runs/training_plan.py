"""The plan that the engine carries out: which run, which files of which table version, and which settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.driver.corpus.configured_extractor import record_of
from jobs.driver.corpus.feature_tables import require_cells
from jobs.driver.job import Job
from jobs.driver.runs.feature_statistics import training_normalisation
from jobs.driver.runs.identity import fingerprint_of
from jobs.driver.runs.registry import run_folder
from jobs.driver.runs.trained_run import require_trained
from jobs.driver.runs.training_source import TrainingSource, training_source
from udfs.captioner.self_critical import SelfCriticalTask
from udfs.captioner.shape import CaptionerShape
from udfs.captioner.text import PADDING, START
from udfs.captioner.training import CaptionerTask
from udfs.engine.plan import CommunicationPlan, OptimizerPlan, Plan
from udfs.engine.reader import ExampleFile, Split
from udfs.errors import InputError
from udfs.run_folder import RunFolder
from udfs.vision.features import MIRRORED


@dataclass(frozen=True)
class RunSpec:
    """A training run as the configuration and the tables describe it.

    Attributes:
        id: The run's id.
        files: The run's folder.
        source: The examples that it reads.
        identity: Everything that decides its outcome.
    """

    id: str
    files: RunFolder
    source: TrainingSource
    identity: dict[str, Any]

    @property
    def about(self) -> dict[str, Any]:
        """What `run.json` keeps: the identity, and how to compute the features of new photos."""
        extractor = self.source.extractor
        return {"identity": self.identity, "extractor": extractor.fingerprint, "network": record_of(extractor)}


def specify_run(job: Job, source: TrainingSource | None = None) -> RunSpec:
    """The run that the job's configuration and tables describe; it has one phase.

    With run.id=auto, its id is the fingerprint of its identity, so that the same command resumes it.

    Raises:
        InputError: If the configuration and the tables do not match.
    """
    source = source or training_source(job)
    identity = source.identity(job.settings)
    run_id = fingerprint_of(identity) if job.settings.run.id == "auto" else job.settings.run.id
    return RunSpec(run_id, run_folder(job.settings, run_id), source, identity)


def make_plan(job: Job, run: RunSpec) -> Plan:
    """The engine's plan for a run."""
    settings, source = job.settings, run.source
    optimizer = asdict(settings.optimizer)
    train, recovery = settings.train, settings.recovery
    splits = split_files(source.examples, settings.examples.shards, train.batch_unit == "photos")
    task = caption_task(job, source, splits["train"], optimizer.pop("label_smoothing"))
    start = train.start_from
    return Plan(
        run_folder=run.files.uri,
        task=task,
        train=splits["train"],
        validation=splits[settings.corpus.validation_split],
        epochs=train.epochs,
        batch_size=train.batch_size,
        bucket_by_length=train.bucket_by_length,
        optimizer=OptimizerPlan(**optimizer),
        communication=CommunicationPlan(**asdict(settings.communication)),
        seed=train.seed,
        precision=train.precision,
        deterministic=train.deterministic,
        monitor=train.monitor,
        patience=train.patience,
        checkpoint_every=recovery.checkpoint_every,
        keep_checkpoints=recovery.keep_checkpoints,
        cache_bytes=train.cache_bytes,
        initial_weights="" if start == "none" else require_trained(settings, start, "train.start_from").files.model,
        steps_per_epoch=train.steps_per_epoch,
    )


def caption_task(job: Job, source: TrainingSource, train_split: Split, label_smoothing: float) -> CaptionerTask:
    """The captioner with the sizes that the examples give it, and the objective that the configuration asks for."""
    model, train = job.settings.model, job.settings.train
    feature_shape = feature_shape_of(source.examples)
    shape = CaptionerShape(
        source.provenance["vocabulary_size"],
        feature_shape,
        model.embedding_dim,
        model.lstm_units,
        model.dropout,
        model.tie_embeddings,
        training_normalisation(source.examples, model.normalise),
        model.options,
    )
    if train.mirror_share and MIRRORED not in source.examples.columns:
        raise InputError(
            "train.mirror_share: the table examples has no features of mirrored photos; run jobs/extract_features.py and "
            "jobs/build_examples.py with extractor.mirrored=true"
        )
    counts = count_tokens(source.examples, shape.vocabulary_size) if model.initial_bias == "frequencies" else ()
    task = CaptionerTask(
        shape=shape,
        width=source.provenance["max_length"] + 1,
        by_photo=train.batch_unit == "photos",
        topology=model.topology,
        label_smoothing=label_smoothing,
        token_counts=counts,
        validation_bleu=train.validation_bleu,
        validation_beam_width=train.validation_beam_width,
        mirror_share=train.mirror_share,
        subwords=subwords_of(job, source) if train.validation_bleu else (),
    )
    if train.objective == "cross_entropy":
        return task
    files = tuple(file.uri for file in train_split.files_of(0, 1))
    return SelfCriticalTask(**vars(task), **asdict(job.settings.self_critical), reference_files=files)


def feature_shape_of(examples: DataFrame) -> tuple[int, ...]:
    """The shape of every photo's feature. Raises InputError if they differ, or an earlier version wrote the examples."""
    require_cells(examples, "examples", "run jobs/build_examples.py")
    shapes = [tuple(row.feature_shape or ()) for row in examples.select("feature_shape").distinct().limit(3).collect()]
    if len(shapes) != 1 or not shapes[0]:
        raise InputError(
            f"table examples: found features of the shapes {', '.join(map(str, sorted(shapes)))}, expected one shape; run "
            "jobs/extract_features.py with extractor.recompute=true, then jobs/build_examples.py"
        )
    return shapes[0]


def subwords_of(job: Job, source: TrainingSource) -> tuple[str, ...]:
    """The vocabulary in order of token_id if its tokens are subwords; otherwise empty."""
    if source.tokenizer != "subwords":
        return ()
    vocabulary = job.warehouse.table("vocabulary").read(source.versions["vocabulary"])
    return tuple(row.token for row in vocabulary.orderBy("token_id").select("token").collect())


def count_tokens(examples: DataFrame, vocabulary_size: int) -> tuple[int, ...]:
    """How often each token must be predicted in the training captions, by token_id."""
    tokens = examples.where("split = 'train'").select(F.explode("token_ids").alias("token"))
    counts = {row.token: row["count"] for row in tokens.groupBy("token").count().collect()}
    return tuple(0 if token in (PADDING, START) else counts.get(token, 0) for token in range(vocabulary_size))


def split_files(examples: DataFrame, shards: int, by_photo: bool = False) -> dict[str, Split]:
    """The files of a pinned version of the examples, by split and shard, each with its photos and its captions or photos."""
    rows = (
        examples.groupBy("split", "shard", "part", F.col("_metadata.file_path").alias("uri"))
        .agg(F.count("*").alias("rows"), F.sum("caption_count").alias("captions"))
        .orderBy("split", "shard", "part", "uri")
        .collect()
    )
    by_split: dict[str, list[list[ExampleFile]]] = {}
    for row in rows:
        files = by_split.setdefault(row.split, [[] for _ in range(shards)])[row.shard]
        files.append(ExampleFile(unquote(row.uri), row.rows, row.rows if by_photo else row.captions))
    return {split: Split(tuple(map(tuple, files))) for split, files in by_split.items()}
