"""Writes `report/index.html` into a run's folder."""

from __future__ import annotations

from pyspark.sql import functions as F

from jobs.driver.corpus.layouts import at_root, find_photos
from jobs.driver.job import Job
from jobs.driver.page.collect import Page, collect
from jobs.driver.page.examples import telling_captions
from jobs.driver.page.pictures import thumbnails
from jobs.driver.page.render import render
from jobs.driver.runs.registry import run_folder
from jobs.driver.spark.hadoop_files import HadoopFiles, absolute
from udfs import files
from udfs.errors import InputError

PAIRS = 8  # look-alikes whose photos are shown


def write_page(job: Job, run: str, split: str) -> None:
    """Makes the page of a run from its folder and its captions of a split."""
    folder = run_folder(job.settings, run)
    page = collect(folder, run, split)
    predictions = job.warehouse.table("predictions")
    if predictions.version() is not None:
        mine = predictions.read().where((F.col("run_id") == run) & (F.col("split") == split))
        page.captions = telling_captions(mine)
    add_photos(job, page)
    files.write_text(page_uri(folder), render(page))


def page_uri(folder: str) -> str:
    """Where the page of the run in a folder is."""
    return f"{folder}/report/index.html"


def add_photos(job: Job, page: Page) -> None:
    """Adds the photos that the page shows: of its captions, of look-alikes, and of those far from the training photos."""
    names = [row["image_id"] for rows in page.captions.values() for row in rows]
    for found in page.external.values():
        pairs = found["look_alikes"][:PAIRS]
        own = [row["image_id"] for row in [*pairs, *found["farthest"]]]
        names += [row["twin"] for row in pairs] + [row["neighbour"] for row in found["farthest"]]
        if "root" in found["made_from"]:
            page.other_photos[found["population"]] = _thumbnails(job, found["made_from"]["root"], own)
        else:
            names += own
    page.photos = _thumbnails(job, job.settings.corpus.root, names)


def _thumbnails(job: Job, root: str, names: list[str]) -> dict[str, str]:
    """The photos of a corpus; none where it is not there any more, for the page's figures do not need them."""
    settings = job.settings if root == job.settings.corpus.root else at_root(job.settings, root)
    try:
        folder = find_photos(job.spark, settings)
    except InputError as error:
        job.log.info(f"the page shows no photos of {absolute(root)}: {error}")
        return {}
    return thumbnails(HadoopFiles(job.spark), folder, names, settings.corpus)
