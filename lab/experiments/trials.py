"""What settings of the training do to BLEU: each trained with every seed, compared with a reference on the same photos.

    python -m lab.experiments.trials lab/experiments/frugal.yaml

Runs the ordinary jobs in one Spark session, in a network namespace whose loopback interface carries nothing but this gang's
traffic, so that the bytes are its own. Finished runs are kept: the same command goes on where it was stopped. Writes a JSON
file with every figure and, where the file names one, a plot of BLEU against bytes; prints the figures as a table.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf
from pyspark.sql import functions as F

import conf
import jobs.evaluate
import jobs.train
from jobs.driver.job import Job, perform
from jobs.driver.scoring.comparison import compare_runs
from lab.experiments.run_plot import read_history
from udfs.scoring.bootstrap import interval

INSIDE = "CAPTIONER_OWN_NETWORK"
MEBIBYTE = 2**20


def main(path: str) -> None:
    if INSIDE not in os.environ:
        enter_own_network()
    study = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    title, names, seeds = Path(path).stem, list(study["settings"]), study["seeds"]
    runs = {(name, seed): run_jobs(study, title, name, seed) for seed, name in product(seeds, names)}
    job = Job("compare", conf.load(study["config"], [*study["common"], "evaluate.split=dev"]))
    predictions = job.warehouse.table("predictions").read()
    found = compare_runs(predictions, list(runs.values()), "dev", job.settings.bootstrap).figures
    samples = {name: np.stack([found[runs[name, seed]]["bleu4"] for seed in seeds]) for name in names}
    settings = [describe(study, job, name, [runs[name, seed] for seed in seeds], samples) for name in names]
    report = {
        "reference": study["reference"], "config": study["config"], "seeds": seeds, "workers": job.settings.train.workers,
        "common": study["common"], "split": "dev", "beam_width": job.settings.evaluate.beam_width,
        "confidence": job.settings.bootstrap.confidence,
        "interval": "bootstrap of the photos and of the seeds, both drawn alike for a setting and the reference",
        "photos": predictions.where(F.col("run_id") == runs[names[0], seeds[0]]).count(),
        "settings": settings,
    }  # fmt: skip
    Path(study["json"]).write_text(json.dumps(report, indent=1) + "\n")
    if "plot" in study:
        plot(report, study["plot"])
    print(table(settings))


def enter_own_network() -> None:
    """Starts this program again in a network namespace of its own; it needs root and iproute2."""
    command = 'ip link set lo up && exec "$0" -m lab.experiments.trials "$@"'
    environment = {**os.environ, INSIDE: "1", "SPARK_LOCAL_IP": "127.0.0.1"}
    if os.geteuid() or subprocess.run(["unshare", "--net", "ip", "link"], capture_output=True).returncode:
        sys.exit("lab.experiments.trials needs root, unshare (util-linux) and ip (iproute2) for a network of its own")
    os.execvpe("unshare", ["unshare", "--net", "sh", "-c", command, sys.executable, *sys.argv[1:]], environment)


def run_jobs(study: dict, title: str, name: str, seed: int, modules: tuple = (jobs.train, jobs.evaluate)) -> str:
    """Trains and scores one run, unless that is done; its id."""
    run = f"{title}-{re.sub('[^a-z0-9]+', '-', name.lower())}-{seed}"
    overrides = [f"run.id={run}", f"train.seed={seed}", *study["common"], *study["settings"][name]]
    for module in modules:
        job = Job(module.__name__.rpartition(".")[2], conf.load(study["config"], [*overrides, "evaluate.split=dev"]))
        outcome, _ = perform(job, module.main)
        job.log.info(f"{run}: {outcome.metrics}")
    return run


def describe(study: dict, job: Job, name: str, runs: list[str], samples: dict[str, np.ndarray]) -> dict:
    """The figures of a setting: means over its runs, one a seed, with intervals of the difference to the reference."""
    histories = [read_history(Path(job.settings.paths.runs) / run) for run in runs]
    lines = [line for history in histories for line in history]
    sent = [worker["sent_mb"] * MEBIBYTE for line in lines for worker in line["workers"]]
    seconds = [line["seconds"] for line in lines]
    difference = samples[name] - samples[study["reference"]]
    low, high = interval(of_drawn_seeds(difference, job.settings.bootstrap.seed), job.settings.bootstrap.confidence)
    return {
        "name": name, "overrides": study["settings"][name], "bytes_per_epoch": round(np.mean(sent)),
        "seconds_per_epoch": round(float(np.median(seconds)), 2), "bleu4_mean": round(float(samples[name][:, 0].mean()), 4),
        "bleu4_by_seed": [round(float(value), 4) for value in samples[name][:, 0]],
        "bleu4_difference": round(float(difference[:, 0].mean()), 4), "bleu4_difference_low": round(low, 4),
        "bleu4_difference_high": round(high, 4),
        "val_loss_mean": round(float(np.mean([min(x["val_loss"] for x in history) for history in histories])), 4),
        "bleu4_by_epoch": [round(float(np.mean(column)), 4) for column in zip(*scores(histories), strict=True)],
    }  # fmt: skip


def of_drawn_seeds(difference: np.ndarray, seed: int) -> np.ndarray:
    """The mean over seeds drawn with replacement in each bootstrap sample of the photos; difference: (seeds, samples + 1)."""
    count, samples = difference.shape
    drawn = np.random.default_rng(seed).integers(0, count, (count, samples - 1))
    return np.take_along_axis(difference[:, 1:], drawn, axis=0).mean(axis=0)


def scores(histories: list[list[dict]]) -> list[list[float]]:
    return [[line["bleu4"] for line in history] for history in histories]


def table(settings: list[dict]) -> str:
    """The figures as a Markdown table."""
    rows = [("setting", "overrides", "MB an epoch", "s an epoch", "val_loss", "BLEU-4", "difference")]
    for found in settings:
        overrides = " ".join(f"`{override.removeprefix('train.')}`" for override in found["overrides"])
        low, high = found["bleu4_difference_low"], found["bleu4_difference_high"]
        difference = f"{found['bleu4_difference']:+.4f} ({low:+.4f} to {high:+.4f})"
        cells = [
            found["name"], overrides,
            f"{found['bytes_per_epoch'] / 1e6:.0f}", f"{found['seconds_per_epoch']:.0f}",
            f"{found['val_loss_mean']:.3f}", f"{found['bleu4_mean']:.3f}", difference,
        ]  # fmt: skip
        rows.append(cells)
    return markdown(rows)


def markdown(rows: list) -> str:
    """Rows of cells as a Markdown table, the first of them its head."""
    head, *lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *lines])


def plot(report: dict, path: str) -> None:
    """BLEU-4 against bytes, with the interval of the difference to the reference drawn around its mean."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    (reference,) = [found for found in report["settings"] if found["name"] == report["reference"]]
    axes.axhline(reference["bleu4_mean"], color="grey", linewidth=1)
    axes.axhline(reference["bleu4_mean"] - 0.005, color="grey", linewidth=1, linestyle=":")
    for found in report["settings"]:
        megabytes, middle = found["bytes_per_epoch"] / 1e6, found["bleu4_mean"]
        around = [
            [found["bleu4_difference"] - found["bleu4_difference_low"]],
            [found["bleu4_difference_high"] - found["bleu4_difference"]],
        ]
        axes.errorbar(megabytes, middle, yerr=around, fmt="o", capsize=3)
        axes.annotate(found["name"], (megabytes, middle), textcoords="offset points", xytext=(6, 6), fontsize=8)
    axes.set(xscale="log", xlabel="megabytes sent an epoch, by each worker", ylabel="BLEU-4, mean of the seeds")
    axes.set_title("What fewer bytes cost; dotted: 0.005 under every-step synchronisation", fontsize=10)
    figure.savefig(path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
