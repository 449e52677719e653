"""The champion: the promoted run, named by the newest of the numbered files in `<paths.runs>/_champions`.

A file is created exclusively and never changed. So if two drivers move the champion at once, one of them succeeds and the
other fails, and every earlier champion remains known.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass

from pyspark.sql import functions as F

from conf import Settings
from jobs.driver.job import Job
from jobs.driver.runs.identity import fingerprint_of
from jobs.driver.runs.registry import (
    Decision,
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
    """A promotion.

    Attributes:
        number: Counts promotions from 1.
        run: The id of the promoted run.
        previous: The id of the champion before it; None for the first.
        reasons: Why it was promoted, as sentences.
        metrics: The figures behind the reasons.
    """

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
    promotions = [name for name in files.names(folder) if FILE.fullmatch(name)]
    return [Champion(**read_json(f"{folder}/{name}")) for name in promotions]


def champion(settings: Settings) -> Champion | None:
    """The current champion; None before the first promotion."""
    return (champions(settings) or [None])[-1]


def require_champion(settings: Settings) -> Champion:
    """The current champion. Raises InputError before the first promotion."""
    current = champion(settings)
    if current is None:
        raise InputError(
            f"run.id: found champion, but no run in {settings.paths.runs} has been promoted yet; give a run's id or latest, "
            "or run jobs/gate.py or jobs/promote.py first"
        )
    return current


def promote(job: Job, run: str, before: Champion | None, reasons: list[str], metrics: dict) -> tuple[Champion, int]:
    """Makes a run the champion and records that in the table `runs`.

    Args:
        job: The job that promotes.
        run: The run's id.
        before: The champion that the run was compared with.
        reasons: Why it is promoted, as sentences.
        metrics: The figures behind the reasons.

    Returns:
        The promotion, and the version of the table `runs`.

    Raises:
        RuntimeError: If another driver has moved the champion since `before` was read.
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
    """Records a promotion as a row of the table `runs`, unless it is there, and marks the run as judged.

    Returns:
        The version of the table `runs`.
    """
    settle(job.settings, new.run)
    runs = job.warehouse.table("runs")
    if not runs.read().where((F.col("run_id") == new.run) & (F.col("decision") == new.decision)).isEmpty():
        return runs.version()
    return record_decision(job, Decision(new.run, new.decision, True, new.reasons, {}, new.metrics))


def settle(settings: Settings, run: str) -> None:
    """Marks a run as judged, so that a retraining with the same tables and settings can be skipped."""
    identity = read_json(run_folder(settings, run).about)["identity"]
    write_json(f"{runs_root(settings)}/_judged/{fingerprint_of(identity)}.json", {"run": run})


def _folder(settings: Settings) -> str:
    return f"{runs_root(settings)}/_champions"
