"""Trains the captioner on Spark's executors: a gang of `train.workers` barrier tasks, synchronised by TensorFlow.

The run's folder under `paths.runs` holds config.yaml, metrics.jsonl, checkpoints/, model.keras (of the epoch with the
lowest validation loss) and vocabulary.json. The same command goes on from the last checkpoint, and does nothing once the
run is finished.
"""

from __future__ import annotations

from dataclasses import asdict
from urllib.parse import unquote

from omegaconf import OmegaConf
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.build_examples import check_tokens
from jobs.driver.extractors import fingerprint_of
from jobs.driver.gang import require_gang, run_gang
from jobs.driver.job import Job, Outcome, run_job
from jobs.driver.reports import TrainingView
from jobs.driver.runs import fingerprint, identity, read_json, record_run, run_folder, write_json
from udfs import files
from udfs.captioner import CaptionerShape
from udfs.errors import InputError
from udfs.plan import Plan
from udfs.reader import ExampleFile, Split


def main(job: Job) -> Outcome:
    settings = job.settings
    examples, version = job.warehouse.pinned("examples", "build_examples")
    note = job.warehouse.table("examples").provenance()
    check_examples(job, note)
    versions = {"examples": version, "vocabulary": job.warehouse.table("vocabulary").version()}
    made_from = {**versions, "extractor": note["made_from"]["extractor"], "vocabulary": note["vocabulary"]}
    wanted = identity(settings, made_from)
    run_id = fingerprint(wanted) if settings.run.id == "auto" else settings.run.id
    folder = run_folder(settings, run_id)
    trained_on = examples.where("split = 'train'").count()
    if files.exists(f"{folder}/run.json"):
        require_same(read_json(f"{folder}/run.json")["identity"], wanted, run_id)
        if done := read_json(f"{folder}/train.json"):
            return Outcome("runs", run_id, done["version"], trained_on, 0, trained_on, 0, done["metrics"])

    require_gang(job.spark, settings.train.workers, settings.train.start_timeout)
    plan = make_plan(job, examples, note, folder)
    if len([lane for lane in plan.train.lanes if lane]) < settings.train.workers:
        raise InputError(
            f"train.workers: found {settings.train.workers}, but the table examples has {trained_on} training photos in "
            f"{settings.examples.shards} shards; lower train.workers or raise examples.shards"
        )
    config = OmegaConf.to_yaml(OmegaConf.structured(settings))
    prepare_folder(job, folder, config, wanted, note)
    job.say(
        f"run {run_id}: {settings.train.workers} workers, {trained_on} photos, {settings.train.epochs} epochs, {folder}"
    )
    record_run(job, run_id, config, versions, {}, "running")
    view = TrainingView(settings.train.epochs)
    metrics = run_gang(job.spark, plan, settings.train.workers, settings.train.max_restarts, view, job.say)[0]
    table_version = record_run(job, run_id, config, versions, metrics, "trained")
    write_json(f"{folder}/train.json", {"version": table_version, "metrics": metrics})
    return Outcome("runs", run_id, table_version, trained_on, trained_on, 0, 0, metrics)


def check_examples(job: Job, note: dict) -> None:
    """Refuses examples that do not belong to the configuration or to the current vocabulary."""
    cleaning, made_from = check_tokens(job), note.get("made_from", {})
    wanted = {
        "extractor": fingerprint_of(job.settings.extractor),
        "validation_split": job.settings.train.validation_split,
        "shards": job.settings.examples.shards,
    }
    found = {key: made_from.get(key) for key in wanted}
    wanted["vocabulary"], found["vocabulary"] = cleaning["vocabulary"], note.get("vocabulary")
    for key, value in wanted.items():
        if found[key] != value:
            raise InputError(
                f"table examples: its {key} is {found[key]!r}, but the configuration means {value!r}; "
                "run jobs/build_examples.py with the same configuration"
            )


def require_same(found: dict, wanted: dict, run_id: str) -> None:
    differing = [
        f"{key} was {found.get(key)!r} and is {wanted.get(key)!r}" for key in wanted if found.get(key) != wanted[key]
    ]
    if differing:
        raise InputError(
            f"run.id: the run {run_id} was started otherwise: {'; '.join(differing)}; choose another run.id, or leave it to auto"
        )


def make_plan(job: Job, examples: DataFrame, note: dict, folder: str) -> Plan:
    settings, model, train = job.settings, job.settings.model, job.settings.train
    size = examples.select(F.size("feature").alias("n")).first().n
    shape = CaptionerShape(note["vocabulary_size"], size, model.embedding_dim, model.lstm_units, model.dropout)
    splits = find_files(examples, settings.examples.shards, note["max_length"] + 1)
    return Plan(
        run_folder=folder, shape=shape, train=splits["train"], validation=splits[train.validation_split],
        epochs=train.epochs, batch_size=train.batch_size, optimizer=train.optimizer, learning_rate=train.learning_rate,
        clip_norm=train.clip_norm, seed=train.seed, keep_checkpoints=train.keep_checkpoints,
    )  # fmt: skip


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


def prepare_folder(job: Job, folder: str, config: str, wanted: dict, note: dict) -> None:
    """Writes what the run is before it starts. Raises InputError where the folder cannot be written."""
    vocabulary = job.warehouse.table("vocabulary").read().orderBy("token_id").collect()
    tokens = [row.token for row in vocabulary]
    try:
        files.write_text(f"{folder}/config.yaml", config)
        write_json(
            f"{folder}/vocabulary.json",
            {"fingerprint": note["vocabulary"], "max_length": note["max_length"], "tokens": tokens},
        )
        write_json(
            f"{folder}/run.json",
            {"identity": wanted, "extractor": note["made_from"]["extractor"], "train": asdict(job.settings.train)},
        )
    except OSError as error:
        raise InputError(
            f"paths.runs: cannot write to {folder} ({error}); make it writable or set paths.runs"
        ) from error


if __name__ == "__main__":
    run_job(main, __doc__)
