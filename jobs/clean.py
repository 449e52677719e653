"""Deletes what is older than `clean.keep_days` and no longer needed. Without `clean.apply=true` it only counts it.

It deletes checkpoints of runs, temporary files that were never moved into place, and the data of old table versions. It keeps
everything that belongs to a promoted run or to a run in training: their folders, and every table version that they read.

Keys:
    clean.keep_days: files younger than this are kept.
    clean.apply: delete; otherwise the job reports what it would delete.
"""

from __future__ import annotations

import time

from jobs.driver.command import Outcome, run_job
from jobs.driver.job import Job
from jobs.driver.runs.champion import champions
from jobs.driver.runs.old_files import delete_tree, newest, walk
from jobs.driver.runs.registry import read_json, runs_root
from udfs import files
from udfs.run_folder import RunFolder

TABLES = (
    "captions", "vocabulary", "tokens", "features", "quarantine", "examples", "predictions", "runs", "photo_hashes",
    "external_features", "external_photo_hashes", "external_quarantine",
)  # fmt: skip
DAY = 24 * 60 * 60


def main(job: Job) -> Outcome:
    settings = job.settings.clean
    before = time.time() - settings.keep_days * DAY
    root = runs_root(job.settings)
    runs = {name: RunFolder(f"{root}/{name}") for name in files.names(root) if name[0] not in "._"}
    needed = {promotion.run for promotion in champions(job.settings)}
    needed |= {name for name, folder in runs.items() if in_training(folder, before)}
    checkpoints = [folder.checkpoints for name, folder in runs.items() if name not in needed]
    checkpoints = [folder for folder in checkpoints if 0 < newest(folder) < before]
    old = {"checkpoints": checkpoints, "leftovers": leftovers(root, before, tuple(f"{uri}/" for uri in checkpoints))}
    if settings.apply:
        for uri in (uri for uris in old.values() for uri in uris):
            delete_tree(uri)
    counts = {name: len(uris) for name, uris in old.items()}
    for table in TABLES:
        counts[table] = clean_table(job, table, pinned_versions(runs, needed, table), before)
    action = "deleted" if settings.apply else "would be deleted; clean.apply=true deletes them"
    for name, count in counts.items():
        if count:
            job.log.info(f"{name}: {count} {action}")
    total = sum(counts.values())
    return Outcome(
        rows_in=total,
        written=total if settings.apply else 0,
        unchanged=0 if settings.apply else total,
        metrics={"deleted" if settings.apply else "to_delete": counts, "kept_runs": sorted(needed)},
    )


def in_training(folder: RunFolder, before: float) -> bool:
    """Whether a run has not finished and was written to after a time."""
    return not files.exists(folder.training) and newest(folder.uri) >= before


def pinned_versions(runs: dict[str, RunFolder], needed: set[str], table: str) -> set[int]:
    """The versions of a table that the JSON files of the needed runs name."""
    versions = set()
    for run in needed & runs.keys():
        for name in files.names(runs[run].uri):
            if name.endswith(".json"):
                line = read_json(f"{runs[run].uri}/{name}")
                versions.add((line.get("versions") or line.get("made_from") or {}).get(table))
    return {version for version in versions if isinstance(version, int)}


def clean_table(job: Job, name: str, keep: set[int], before: float) -> int:
    """Deletes data of a table that only versions replaced before a time hold, except those in `keep`; returns the number."""
    table = job.warehouse.table(name)
    if table.version() is None:
        return 0
    return table.clean(before, keep, job.settings.clean.apply)


def leftovers(root: str, before: float, but: tuple[str, ...]) -> list[str]:
    """Temporary files that were never moved into place, outside the folders `but`."""
    return [
        uri for uri, modified in walk(root) if uri.endswith(".tmp") and modified < before and not uri.startswith(but)
    ]


if __name__ == "__main__":
    run_job(main, __doc__)
