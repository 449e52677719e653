"""Trains the captioner on Spark's executors: a gang of barrier tasks, synchronised by TensorFlow.

    spark-submit --master local[2] jobs/train.py --config conf/flickr8k.yaml
    spark-submit jobs/train.py run.id=larger model.lstm_units=512 optimizer.learning_rate=0.002 optimizer.schedule=cosine

The job reads the tables `examples` and `vocabulary` and writes a run folder and a row of the table `runs`. The run folder
holds config.yaml, metrics.jsonl, tensorboard/, checkpoints/, attempts/, vocabulary.json (and subwords.model if its tokens are
subwords), and model.keras, which has the weights of the best epoch. The same command resumes an interrupted run at its last
checkpoint, and does nothing if the run is finished.

What it can do:

- Any number of workers (`train.workers`). Without dropout, all numbers of workers follow the same path.
- Optimizers, learning rate schedules and regularisation (`optimizer.*`), and the model's sizes (`model.*`).
- Learning from the scores of captions that the model draws (`train.objective=self_critical`, `train.start_from=RUN`),
  as a second phase if need be (`train.second_phase`).
- Early stopping and the choice of the best epoch (`train.monitor`, `train.patience`), by loss or by BLEU of the validation
  photos (`train.validation_bleu`, `train.validation_beam_width`).
- Fewer bytes between the workers (`communication.*`): gradient accumulation, local SGD, PowerSGD, 16-bit and sparse
  gradients.
- Recovery after the loss of a worker, an executor or the driver (`recovery.*`).
- float32, float64 and mixed_bfloat16 (`train.precision`), and bit-for-bit repeatable results (`train.deterministic`).
- Metrics for TensorBoard in the run folder and for MLflow (`tracking.*`).
"""

from __future__ import annotations

from typing import Any

from jobs.driver.command import Outcome, run_job
from jobs.driver.gang.launcher import run_gang
from jobs.driver.gang.lease import Lease
from jobs.driver.gang.preflight import require_cluster
from jobs.driver.gang.progress import TrainingProgress
from jobs.driver.gang.training import Training, finished_training
from jobs.driver.job import Job
from jobs.driver.runs.phases import phases
from jobs.driver.runs.training_plan import RunSpec, make_plan, specify_run
from jobs.driver.runs.training_source import TrainingSource, training_source
from udfs.engine.plan import Plan
from udfs.errors import InputError


def main(job: Job) -> Outcome:
    source = training_source(job)
    for settings in phases(job.settings, source.provenance, source.versions["examples"]):
        job.settings = settings
        outcome = train_phase(job, source)
    return outcome


def train_phase(job: Job, source: TrainingSource) -> Outcome:
    """Trains the run that the settings describe, unless it is trained already."""
    run = specify_run(job, source)
    photos = run.source.examples.where("split = 'train'").count()
    outcome = Outcome(table="runs", run=run.id, rows_in=photos, versions=run.source.versions)
    if finished := finished_training(run):
        outcome.version, outcome.metrics, outcome.unchanged = finished["version"], finished["metrics"], photos
        return outcome
    require_cluster(job.spark, job.settings)
    plan = make_plan(job, run)
    require_shards(job, plan, photos)
    if advice := uneven_shards(len(plan.train.shards), job.settings.train.workers):
        job.log.info(advice)
    recovery = job.settings.recovery
    try:
        lease = Lease(run.files, recovery.lease_timeout, recovery.take_over)
    except OSError as error:
        raise InputError(
            f"paths.runs: cannot write to {run.files.uri} ({error}); make it writable, or set paths.runs to another place"
        ) from error
    with lease:
        outcome.version, outcome.metrics = train(job, run, plan, lease, photos)
    outcome.written = photos
    return outcome


def train(job: Job, run: RunSpec, plan: Plan, lease: Lease, photos: int) -> tuple[int, dict[str, Any]]:
    """Trains a run that this driver holds.

    Returns:
        The version of the table `runs`, and the metrics of the best epoch.
    """
    settings, training = job.settings, Training(job, run, plan)
    training.begin(lease.attempt)
    job.log.info(
        f"run {run.id}, attempt {lease.attempt}: {settings.train.workers} workers, {photos} photos, {plan.epochs} epochs, "
        f"{run.files.uri}"
    )
    progress = TrainingProgress(plan.epochs, plan.train.total, plan.task.example_unit, settings.train.progress_seconds)
    metrics = run_gang(job.spark, plan, settings, lease, training.receiver(progress))[0]
    lease.require_held()
    version = training.finish(metrics)
    if reason := metrics.get("stopped"):
        job.log.warning(f"training stopped: {reason}; the model has the weights of epoch {metrics['best_epoch']}")
    job.log.info(f"{metrics['diagnosis']['words']} (the rule: {metrics['diagnosis']['rule']})")
    return version, metrics


def require_shards(job: Job, plan: Plan, photos: int) -> None:
    """Raises InputError if there are fewer shards with photos than workers."""
    workers = job.settings.train.workers
    if len([shard for shard in plan.train.shards if shard]) < workers:
        raise InputError(
            f"train.workers: found {workers}, but the table examples has {photos} training photos in "
            f"{job.settings.examples.shards} shards; lower train.workers or raise examples.shards"
        )


def uneven_shards(shards: int, workers: int) -> str | None:
    """How much longer a step takes because some workers read one shard more than others; None if all read equally many."""
    if not shards % workers:
        return None
    most = -(-shards // workers)
    return (
        f"examples.shards: with {shards} shards for {workers} workers, some workers read {most}, so a step takes "
        f"{most * workers / shards - 1:.0%} longer than with {most * workers} shards, which divide evenly"
    )


if __name__ == "__main__":
    run_job(main, __doc__)
