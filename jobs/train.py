"""Trains the captioner on Spark's executors: a gang of `train.workers` barrier tasks, synchronised by TensorFlow.

The run's folder under `paths.runs` holds config.yaml, metrics.jsonl, tensorboard/, checkpoints/, attempts/, model.keras (of
the epoch with the lowest validation loss) and vocabulary.json. The same command goes on from the last checkpoint, and does
nothing once the run is finished.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from urllib.parse import unquote

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf import to_yaml
from jobs.driver.corpus.extractors import record_of
from jobs.driver.gang.launcher import run_gang
from jobs.driver.gang.lease import Lease
from jobs.driver.gang.mlflow_logger import open_tracking
from jobs.driver.gang.preflight import require_cluster, require_members
from jobs.driver.gang.progress import TrainingView
from jobs.driver.job import Job, Outcome, run_job
from jobs.driver.runs.registry import fingerprint, read_json, record_run, run_folder, write_json
from jobs.driver.runs.training_source import training_source
from udfs import files
from udfs.captioner.model import CaptionerShape
from udfs.captioner.text import PADDING, START
from udfs.engine import attempts
from udfs.engine.plan import Plan
from udfs.engine.reader import ExampleFile, Split
from udfs.errors import InputError


@dataclass
class Wanted:
    """A training run as configured: its id and folder, the examples it reads, and all that decides its outcome.

    network: the extractor of its features, as run.json keeps it for captioning new photos.
    """

    id: str
    folder: str
    examples: DataFrame
    note: dict
    versions: dict[str, int]
    identity: dict
    network: dict


def main(job: Job) -> Outcome:
    run = find_run(job)
    photos = run.examples.where("split = 'train'").count()
    if files.exists(f"{run.folder}/run.json"):
        require_same(read_json(f"{run.folder}/run.json")["identity"], run.identity, run.id)
        if done := read_json(f"{run.folder}/train.json"):
            return Outcome("runs", run.id, done["version"], photos, 0, photos, 0, done["metrics"], run.versions)
    require_cluster(job.spark, job.settings)
    plan = make_plan(job, run)
    require_lanes(job, plan, photos)
    if advice := uneven_shards(len(plan.train.lanes), job.settings.train.workers):
        job.log.info(advice)
    try:
        lease = Lease(run.folder, job.settings.recovery.lease_timeout, job.settings.recovery.take_over)
    except OSError as error:
        raise InputError(f"paths.runs: cannot write to {run.folder} ({error}); make it writable or set it") from error
    with lease:
        version, metrics = train(job, run, plan, lease, photos)
    return Outcome("runs", run.id, version, photos, photos, 0, 0, metrics, run.versions)


def find_run(job: Job) -> Wanted:
    """The run that the configuration and the tables mean. Raises InputError where they do not belong together."""
    settings, source = job.settings, training_source(job)
    wanted = source.identity(settings)
    run_id = fingerprint(wanted) if settings.run.id == "auto" else settings.run.id
    network = record_of(source.extractor)
    return Wanted(run_id, run_folder(settings, run_id), source.examples, source.note, source.versions, wanted, network)


def train(job: Job, run: Wanted, plan: Plan, lease: Lease, photos: int) -> tuple[int, dict]:
    """Trains a run that this driver holds; the version of the table `runs` and the metrics."""
    settings = job.settings.train
    probe = attempts.attempt_file(run.folder, lease.attempt)
    require_members(job.spark, settings.workers, run.folder, probe, plan.worker_bytes(settings.workers))
    config = to_yaml(job.settings)
    prepare_folder(job, run, config)
    record_run(job, run.id, config, run.versions, {}, "running")
    job.log.info(
        f"run {run.id}, attempt {lease.attempt}: {settings.workers} workers, {photos} photos, {settings.epochs} epochs, "
        f"{run.folder}"
    )
    results = run_gang(job.spark, plan, job.settings, lease, make_view(job, run, plan), job.log.info)
    lease.require_held()
    metrics = results[0]
    numbers = {key: value for key, value in metrics.items() if key != "diagnosis"}
    version = record_run(job, run.id, config, run.versions, numbers, "trained")
    write_json(f"{run.folder}/train.json", {"version": version, "metrics": metrics})
    job.log.info(f"{metrics['diagnosis']['words']} (the rule: {metrics['diagnosis']['rule']})")
    return version, metrics


def make_view(job: Job, run: Wanted, plan: Plan):
    """What is done with the workers' events: shown, and logged to MLflow where that is configured."""
    captions = sum(plan.train.captions(lane) for lane in range(len(plan.train.lanes)))
    show = TrainingView(plan.epochs, captions, job.settings.train.progress_seconds)
    log = open_tracking(job.settings.tracking, run.folder, run.id, run.identity, job.log.info)
    return show if log is None else lambda event: (show(event), log(event))


def require_lanes(job: Job, plan: Plan, photos: int) -> None:
    workers = job.settings.train.workers
    if len([lane for lane in plan.train.lanes if lane]) < workers:
        raise InputError(
            f"train.workers: found {workers}, but the table examples has {photos} training photos in "
            f"{job.settings.examples.shards} shards; lower train.workers or raise examples.shards"
        )


def uneven_shards(shards: int, workers: int) -> str | None:
    """What it costs that some workers read one shard more than others; None where all read as many."""
    if not shards % workers:
        return None
    most = -(-shards // workers)
    return (
        f"examples.shards: {shards} shards for {workers} workers give some of them {most}, so a step takes "
        f"{most * workers / shards - 1:.0%} longer than with {most * workers} shards, which they could share evenly"
    )


def require_same(found: dict, wanted: dict, run_id: str) -> None:
    differing = [
        f"{key} was {found.get(key)!r} and is {wanted.get(key)!r}" for key in wanted if found.get(key) != wanted[key]
    ]
    if differing:
        raise InputError(
            f"run.id: the run {run_id} was started otherwise: {'; '.join(differing)}; choose another run.id, or leave it to auto"
        )


def make_plan(job: Job, run: Wanted) -> Plan:
    settings, note = job.settings, run.note
    model, train = asdict(settings.model), settings.train
    initial_bias = model.pop("initial_bias")
    size = run.examples.select(F.size("feature").alias("n")).first().n
    shape = CaptionerShape(note["vocabulary_size"], size, **model)
    splits = find_files(run.examples, settings.examples.shards, note["max_length"] + 1)
    o, c, r = settings.optimizer, settings.communication, settings.recovery
    same = {field.name: getattr(train, field.name) for field in fields(Plan) if hasattr(train, field.name)}
    same |= dict(
        length_window=train.bucket_by_length,
        optimizer={(0, False): o.name, (0.9, False): "momentum", (0.9, True): "nesterov"}[o.momentum, o.nesterov],
        learning_rate=o.learning_rate,
        learning_rate_schedule=o.schedule,
        learning_rate_decay=o.decay,
        clip_norm=o.clip_norm,
        l1=o.l1,
        l2=o.l2,
        weight_decay=o.weight_decay,
        label_smoothing=o.label_smoothing,
        ema_momentum=o.ema_decay,
        collectives=c.collectives,
        sync_every=c.gradient_accumulation_steps,
        average_every=c.local_sgd_steps,
        outer_momentum=c.outer_momentum,
        all_reduce=c.dtype,
        embedding_gradient="auto" if c.sparse_embedding else "dense",
        gradient_rank=c.powersgd_rank,
        gradient_sides=2,
        checkpoint_every=r.checkpoint_every,
        keep_checkpoints=r.keep_checkpoints,
    )
    counts = count_tokens(run.examples, shape.vocabulary_size) if initial_bias == "frequencies" else ()
    return Plan(
        run.folder, shape, splits["train"], splits[settings.corpus.validation_split], token_counts=counts, **same
    )


def count_tokens(examples: DataFrame, vocabulary_size: int) -> tuple[int, ...]:
    """How often each token is to be predicted in the training captions, by token_id."""
    tokens = examples.where("split = 'train'").select(F.explode("token_ids").alias("token"))
    found = {row.token: row["count"] for row in tokens.groupBy("token").count().collect()}
    return tuple(0 if token in (PADDING, START) else found.get(token, 0) for token in range(vocabulary_size))


def find_files(examples: DataFrame, shards: int, width: int) -> dict[str, Split]:
    """The files of a pinned version of the examples, by split and lane, each with its rows and captions."""
    found = (
        examples.groupBy("split", "shard", "part", F.col("_metadata.file_path").alias("uri"))
        .agg(F.count("*").alias("rows"), F.sum("caption_count").alias("captions"))
        .orderBy("split", "shard", "part", "uri")
        .collect()
    )
    lanes: dict[str, list[list[ExampleFile]]] = {}
    for row in found:
        files_of_lane = lanes.setdefault(row.split, [[] for _ in range(shards)])[row.shard]
        files_of_lane.append(ExampleFile(unquote(row.uri), row.rows, row.captions))
    return {split: Split(tuple(map(tuple, lane)), width) for split, lane in lanes.items()}


def prepare_folder(job: Job, run: Wanted, config: str) -> None:
    """Writes what the run is before it starts."""
    vocabulary = job.warehouse.table("vocabulary").read(run.versions["vocabulary"]).orderBy("token_id").collect()
    tokens = {"fingerprint": run.note["vocabulary"], "max_length": run.note["max_length"]}
    files.write_text(f"{run.folder}/config.yaml", config)
    write_json(f"{run.folder}/vocabulary.json", {**tokens, "tokens": [row.token for row in vocabulary]})
    write_json(
        f"{run.folder}/run.json",
        {
            "identity": run.identity,
            "extractor": run.note["made_from"]["extractor"],
            "network": run.network,
            "train": asdict(job.settings.train),
        },
    )


if __name__ == "__main__":
    run_job(main, __doc__)
