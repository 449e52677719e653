"""Extracts a feature vector of every photo with a network of keras.applications, into the table `features`.

Only photos whose content or extractor is new are computed. Photos that cannot be used go to the table `quarantine` with a
reason. Features of several extractors can be in the table side by side.

Keys:
    corpus.root, corpus.photos: the folder of the photos.
    corpus.dry_run: show which photos are read, and write nothing.
    corpus.max_pixels, corpus.min_side, corpus.max_bytes, corpus.strict: which pictures are refused or converted.
    extractor.name, extractor.layer, extractor.pooling: the network, and which of its outputs is the feature.
    extractor.weights: pretrained weights, a weights file, or random ones.
    extractor.precision, extractor.batch_size: how the network computes.
    extractor.mirrored: compute the features of mirrored photos too.
    extractor.recompute: compute all features again.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace

from jobs.driver.command import Outcome, run_job
from jobs.driver.corpus.configured_extractor import resolve_extractor, ship_weights
from jobs.driver.corpus.layouts import find_photos
from jobs.driver.corpus.photo_features import open_photo_folder, update_features
from jobs.driver.corpus.photo_listing import photo_names
from jobs.driver.job import Job


def main(job: Job) -> Outcome:
    folder = find_photos(job.spark, job.settings)
    photos = len(photo_names(job.spark, folder))
    job.log.info(f"photos: {photos} files in {folder}")
    if job.settings.corpus.dry_run:
        return Outcome(metrics={"photos": {"folder": folder, "files": photos}})
    with tempfile.TemporaryDirectory() as scratch:  # executors may fetch the weights from here as long as the job runs
        extractor, weights_file = resolve_extractor(job.settings, scratch)
        weights = ship_weights(job.spark, weights_file)
        listed, metrics = open_photo_folder(job, folder, "corpus.root"), {}
        extraction = update_features(job, listed, extractor, weights)
        if job.settings.extractor.mirrored:
            mirrored = update_features(job, listed, extractor.mirrored, weights)
            metrics["mirrored"] = {"written": mirrored.written, "unchanged": mirrored.unchanged}
            extraction = replace(extraction, version=mirrored.version)
    return Outcome(
        table="features",
        version=extraction.version,
        versions={"features": extraction.version},
        rows_in=extraction.photos,
        written=extraction.written,
        unchanged=extraction.unchanged,
        quarantined=extraction.quarantined,
        metrics={"extractor": extractor.fingerprint, "notes": extraction.notes, **metrics},
    )


if __name__ == "__main__":
    run_job(main, __doc__)
