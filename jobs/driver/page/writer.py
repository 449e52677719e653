"""Writes the page of a run, `report/index.html` in the run's folder."""

from __future__ import annotations

from jobs.driver.corpus.layouts import at_root, find_photos
from jobs.driver.job import Job
from jobs.driver.page.collect import Page, collect
from jobs.driver.page.render import render
from jobs.driver.page.shown_captions import shown_captions
from jobs.driver.page.thumbnails import thumbnails
from jobs.driver.runs.registry import run_folder
from jobs.driver.spark.hadoop_files import HadoopFiles, absolute
from jobs.driver.tables.condition import as_column
from udfs import files
from udfs.errors import InputError

PAIRS = 8  # near-duplicates whose photos are shown


def write_page(job: Job, run: str, split: str) -> None:
    """Writes the page of a run.

    Args:
        job: The job that calls; its settings say where the run, the tables and the photos are.
        run: The run's id.
        split: The split whose scores and captions the page shows first.
    """
    folder = run_folder(job.settings, run)
    page = collect(folder, run, split)
    predictions = job.warehouse.table("predictions")
    if predictions.version() is not None:
        page.captions = shown_captions(predictions.read().where(as_column({"run_id": run, "split": split})))
    add_photos(job, page)
    files.write_text(folder.page, render(page))


def add_photos(job: Job, page: Page) -> None:
    """Adds the photos that the page shows: captioned ones, near-duplicates, and those farthest from the training photos."""
    corpus_names = [row["image_id"] for rows in page.captions.values() for row in rows]
    for comparison in page.external.values():
        pairs = comparison["look_alikes"][:PAIRS]
        evaluated = [row["image_id"] for row in [*pairs, *comparison["farthest"]]]
        corpus_names += [row["twin"] for row in pairs] + [row["neighbour"] for row in comparison["farthest"]]
        if root := comparison["made_from"].get("root"):  # a second corpus
            page.other_photos[comparison["population"]] = _thumbnails(job, root, evaluated)
        else:
            corpus_names += evaluated
    page.photos = _thumbnails(job, job.settings.corpus.root, corpus_names)


def _thumbnails(job: Job, root: str, names: list[str]) -> dict[str, str]:
    """Photos of the corpus at `root`; none if the corpus was moved or deleted, which the rest of the page can do without."""
    settings = job.settings if root == job.settings.corpus.root else at_root(job.settings, root)
    try:
        folder = find_photos(job.spark, settings)
    except InputError as error:
        job.log.info(f"the page shows no photos of {absolute(root)}: {error}")
        return {}
    return thumbnails(HadoopFiles(job.spark), folder, names, settings.corpus)
