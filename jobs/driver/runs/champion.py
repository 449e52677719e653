"""The champion: the promoted run, named by the newest of the numbered files in `<paths.runs>/_champions`.

A file is created exclusively and never changed, so of two drivers that move the champion at once one succeeds, and every
earlier champion remains known.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass

from pyspark.sql import functions as F

from conf import Settings
from jobs.driver.job import Job
from jobs.driver.runs.registry import (
    fingerprint,
    latest_run,
    read_json,
    record_decision,
    run_folder,
    runs_root,
    write_json,
)
from udfs import files
from udfs.errors import InputError

FILE = re.compile(r"(\d{8})\.json")


@dataclass(frozen=True)
class Champion:
    """A promotion: its number, the run, the run before it, why, and the figures behind that."""

    number: int
    run: str
    previous: str | None
    reasons: list[str]
    metrics: dict[str, float]

    @property
    def decision(self) -> str:
        """The name of the decision in the table `runs`."""
        return f"champion-{self.number:08d}"


def champions(settings: Settings) -> list[Champion]:
    """Every promotion, the current champion last."""
    folder = _folder(settings)
    found = [name for name in files.names(folder) if FILE.fullmatch(name)]
    return [Champion(**read_json(f"{folder}/{name}")) for name in found]


def champion(settings: Settings) -> Champion | None:
    return (champions(settings) or [None])[-1]


def require_champion(settings: Settings) -> Champion:
    found = champion(settings)
    if found is None:
        raise InputError(
            f"run.id: no run in {settings.paths.runs} has been promoted yet; name a run, or run jobs/gate.py or "
            "jobs/promote.py first"
        )
    return found


def named_run(job: Job, name: str) -> str:
    """The id of the run that a name means: champion, auto for the one that finished training last, or an id itself."""
    if name == "champion":
        return require_champion(job.settings).run
    return latest_run(job) if name == "auto" else name


def promoted_run(settings: Settings) -> str:
    """The id that run.id means to a job which uses what was promoted: auto is the champion too."""
    wanted = settings.run.id
    return require_champion(settings).run if wanted in ("auto", "champion") else wanted


def promote(job: Job, run: str, before: Champion | None, reasons: list[str], metrics: dict) -> tuple[Champion, int]:
    """Makes a run the champion after `before`, and notes that in the table `runs`; returns that table's version too.

    Raises RuntimeError where another driver has moved the champion since `before` was read.
    """
    new = Champion(before.number + 1 if before else 1, run, before.run if before else None, reasons, metrics)
    try:
        files.create_bytes(f"{_folder(job.settings)}/{new.number:08d}.json", json.dumps(asdict(new), indent=1).encode())
    except FileExistsError as error:
        raise RuntimeError(
            f"run {run}: judged against {new.previous or 'no champion'}, but the champion is "
            f"{champion(job.settings).run} by now; run the job again"
        ) from error
    return new, note_promotion(job, new)


def note_promotion(job: Job, new: Champion) -> int:
    """Writes what follows from a promotion, unless it is there: its row of `runs`, and that its training need not be repeated."""
    settle(job.settings, new.run)
    runs = job.warehouse.table("runs")
    if not runs.read().where((F.col("run_id") == new.run) & (F.col("decision") == new.decision)).isEmpty():
        return runs.version()
    return record_decision(job, new.run, new.decision, True, new.reasons, {}, new.metrics)


def settle(settings: Settings, run: str) -> None:
    """Notes that the run was judged: the same tables and settings need not be trained on again."""
    identity = read_json(f"{run_folder(settings, run)}/run.json")["identity"]
    write_json(f"{runs_root(settings)}/_judged/{fingerprint(identity)}.json", {"run": run})


def require_trained(settings: Settings, run: str) -> str:
    """The folder of a finished run. Raises InputError where it has no model."""
    folder = run_folder(settings, run)
    if not files.exists(f"{folder}/run.json") or not files.exists(f"{folder}/model.keras"):
        raise InputError(
            f"run.id: no trained model in {folder}; run jobs/train.py first, or give the id of a finished run"
        )
    return folder


def _folder(settings: Settings) -> str:
    return f"{runs_root(settings)}/_champions"
