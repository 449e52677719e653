"""Captions a split with a trained model and scores the captions, next to several baselines.

The scores are BLEU-1..4 with and without brevity penalty, CIDEr-D, ROUGE-L, the length and the variety of the captions. They
are written to `evaluate-SPLIT.json` in the run's folder and shown on the run's page, `report/index.html`. The captions with their
n-gram counts are written to the table `predictions`.

Keys:
    run.id: the run; auto or latest: the one that finished training last; champion; or an id.
    evaluate.split: the split.
    decoding.beam_width, decoding.length_penalty, decoding.no_repeat_ngram_size: how captions are searched for.
    decoding.batch_size: photos decoded together.
    bootstrap.resamples, bootstrap.confidence, bootstrap.seed: the confidence intervals of the scores.
"""

from __future__ import annotations

from jobs.driver.command import Outcome, run_job
from jobs.driver.job import Job
from jobs.driver.runs.trained_run import chosen_run
from jobs.driver.scoring.evaluation import evaluate_run


def main(job: Job) -> Outcome:
    run = chosen_run(job)
    evaluation = evaluate_run(job, run)
    return Outcome(
        table="predictions",
        run=run.id,
        version=evaluation.version,
        rows_in=evaluation.photos,
        written=evaluation.scored if evaluation.is_new else 0,
        unchanged=0 if evaluation.is_new else evaluation.scored,
        quarantined=evaluation.quarantined,
        metrics=evaluation.metrics,
        versions=evaluation.versions,
    )


if __name__ == "__main__":
    run_job(main, __doc__)
