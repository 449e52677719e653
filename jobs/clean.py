"""Deletes what is older than `clean.keep_days` and no longer needed; only counts it unless `clean.apply=true`.

Old are: checkpoints of runs, files that were written aside and never moved into place, and the data of table versions. What a
promoted run references is never touched, nor what a run in training does: their folders, and every table version in them.
"""

from __future__ import annotations

import time

from jobs.driver.job import Job, Outcome, run_job
from jobs.driver.runs.champion import champions
from jobs.driver.runs.old_files import delete_tree, newest, walk
from jobs.driver.runs.registry import read_json, runs_root
from udfs import files

TABLES = (
    "captions", "vocabulary", "tokens", "features", "quarantine", "examples", "predictions", "runs", "photo_hashes",
    "external_features", "external_photo_hashes", "external_quarantine",
)  # fmt: skip
DAY = 24 * 60 * 60


def main(job: Job) -> Outcome:
    settings = job.settings.clean
    before = time.time() - settings.keep_days * DAY
    root = runs_root(job.settings)
    runs = {name: f"{root}/{name}" for name in files.names(root) if name[0] not in "._"}
    needed = {run.run for run in champions(job.settings)} | {run for run in runs if in_training(runs[run], before)}
    folders = [f"{folder}/checkpoints" for run, folder in runs.items() if run not in needed]
    folders = [folder for folder in folders if 0 < newest(folder) < before]
    old = {"checkpoints": folders, "leftovers": leftovers(root, before, tuple(f"{folder}/" for folder in folders))}
    if settings.apply:
        for uri in (uri for uris in old.values() for uri in uris):
            delete_tree(uri)
    counts = {kind: len(uris) for kind, uris in old.items()}
    for name in TABLES:
        counts[name] = clean_table(job, name, pinned_versions(runs, needed, name), before)
    for kind, count in counts.items():
        if count:
            job.log.info(f"{kind}: {count} {'deleted' if settings.apply else 'would be deleted; clean.apply=true does it'}")
    total = sum(counts.values())
    return Outcome(rows_in=total, written=total if settings.apply else 0, unchanged=0 if settings.apply else total,
                   metrics={"deleted" if settings.apply else "to_delete": counts, "kept_runs": sorted(needed)})  # fmt: skip


def in_training(folder: str, before: float) -> bool:
    """Whether a run has not finished and was still written to lately."""
    return not files.exists(f"{folder}/train.json") and newest(folder) >= before


def pinned_versions(runs: dict[str, str], needed: set[str], table: str) -> set[int]:
    """The versions of a table that the JSON lines of the needed runs name."""
    found = set()
    for run in needed & runs.keys():
        for name in files.names(runs[run]):
            if name.endswith(".json"):
                line = read_json(f"{runs[run]}/{name}")
                versions = line.get("versions") or line.get("made_from") or {}
                found.add(versions.get(table))
    return {version for version in found if isinstance(version, int)}


def clean_table(job: Job, name: str, keep: set[int], before: float) -> int:
    """Deletes the files of a table that only versions from before a moment hold, and none of `keep`; returns their number."""
    table = job.warehouse.table(name)
    if table.version() is None:
        return 0
    return table.clean(before, keep, job.settings.clean.apply)


def leftovers(root: str, before: float, but: tuple[str, ...]) -> list[str]:
    """Files that were written aside, outside the folders `but`."""
    return [
        uri for uri, modified in walk(root) if uri.endswith(".tmp") and modified < before and not uri.startswith(but)
    ]


if __name__ == "__main__":
    run_job(main, __doc__)
