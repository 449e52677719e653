"""Runs the jobs from photos to scores, one after the other in one Spark session.

The same as extract_features, tokenize_captions, build_examples, train and evaluate as five commands, without starting
Spark five times. Each prints its JSON line; what is already done is left as it is.
"""

from __future__ import annotations

from jobs import build_examples, evaluate, extract_features, tokenize_captions, train
from jobs.driver.job import run_jobs

STEPS = {
    "extract_features": extract_features.main,
    "tokenize_captions": tokenize_captions.main,
    "build_examples": build_examples.main,
    "train": train.main,
    "evaluate": evaluate.main,
}

if __name__ == "__main__":
    run_jobs(STEPS, __doc__)
