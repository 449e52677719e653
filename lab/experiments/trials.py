"""Measures what variants of the training do to BLEU: trains each with every seed and compares it with a reference.

    python -m lab.experiments.trials lab/experiments/frugal.yaml

Runs the ordinary jobs in one Spark session, in a private network namespace whose loopback interface carries only the
traffic of this training. Writes all figures to a JSON file, plots BLEU against bytes if the file names a plot, and prints
the figures as a table. Finished runs are kept, so that the same command continues after an interruption.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
from pyspark.sql import functions as F

import conf
from conf.key import key, text
from jobs.driver.job import Job
from jobs.driver.scoring.comparison import compare_runs
from lab.command import file_and_overrides, run_command
from lab.experiments.output import markdown_table, pyplot, save_svg, write_json
from lab.experiments.runs import read_history
from lab.experiments.trainings import Trainings, Trial, run_jobs
from udfs.errors import InputError
from udfs.scoring.bootstrap import interval

PROGRAM = "lab.experiments.trials"
IN_PRIVATE_NETWORK = "CAPTIONER_PRIVATE_NETWORK"
MEBIBYTE = 2**20
SMALL_DIFFERENCE = 0.005  # of BLEU-4; a dotted line in the plot
Seed = Annotated[int, key("", low=0)]


@dataclass
class TrialsSettings:
    json: Annotated[str, text("JSON file that is written")] = "docs/frugal.json"
    plot: Annotated[str, text("SVG file with BLEU against bytes; none: no plot")] = "none"
    seeds: Annotated[list[Seed], key("train.seed of the trainings of each variant")] = field(
        default_factory=lambda: [0, 1, 2]
    )
    reference: Annotated[str, text("variant that all others are compared with")] = "every-step"
    trainings: Trainings = field(default_factory=Trainings)

    def __post_init__(self):
        if not self.seeds:
            raise ValueError("seeds: found none, expected at least one; set seeds=[0]")
        if self.reference not in self.trainings.variants:
            names = ", ".join(self.trainings.variants)
            raise ValueError(f"reference: found {self.reference}, expected one of {names}; change it")


def main() -> None:
    arguments = file_and_overrides(PROGRAM, __doc__, TrialsSettings).parse_intermixed_args()
    run_command(PROGRAM, lambda: measure_trials(arguments.file, arguments.overrides))


def measure_trials(path: str, overrides: list[str]) -> None:
    settings = conf.load_as(TrialsSettings, path, overrides, f"python -m {PROGRAM} --help")
    if IN_PRIVATE_NETWORK not in os.environ:
        enter_private_network()
    runs = {
        (name, seed): run_jobs(settings.trainings, Trial(Path(path).stem, name, seed), ("train", "evaluate"))
        for seed, name in product(settings.seeds, settings.trainings.variants)
    }
    report = compare_variants(settings, runs)
    write_json(report, Path(settings.json))
    if settings.plot != "none":
        plot_trials(report, Path(settings.plot))
    print(trials_table(report["variants"]))


def enter_private_network() -> None:
    """Starts this program again in its own network namespace. Raises InputError without root or the needed commands."""
    if os.geteuid() or subprocess.run(["unshare", "--net", "ip", "link"], capture_output=True).returncode:
        raise InputError(
            f"network: found no permission to create a network namespace, expected root, unshare (util-linux) and ip "
            f"(iproute2); run `sudo {sys.executable} -m {PROGRAM} ...`"
        )
    command = f'ip link set lo up && exec "$0" -m {PROGRAM} "$@"'
    environment = {**os.environ, IN_PRIVATE_NETWORK: "1", "SPARK_LOCAL_IP": "127.0.0.1"}
    os.execvpe("unshare", ["unshare", "--net", "sh", "-c", command, sys.executable, *sys.argv[1:]], environment)


def compare_variants(settings: TrialsSettings, runs: dict[tuple[str, int], str]) -> dict:
    """The report: figures of each variant, with intervals of the difference to the reference.

    Args:
        settings: The trials.
        runs: Run ids by variant and seed.
    """
    trainings, seeds = settings.trainings, settings.seeds
    job = Job("compare", conf.load(trainings.config, [*trainings.common, "evaluate.split=dev"]))
    predictions = job.warehouse.table("predictions").read()
    figures = compare_runs(predictions, list(runs.values()), "dev", job.settings.bootstrap).figures
    samples = {name: np.stack([figures[runs[name, seed]]["bleu4"] for seed in seeds]) for name in trainings.variants}
    about = {
        "reference": settings.reference, "config": trainings.config, "seeds": seeds,
        "workers": job.settings.train.workers, "common": trainings.common, "split": "dev",
        "beam_width": job.settings.decoding.beam_width, "confidence": job.settings.bootstrap.confidence,
        "interval": "bootstrap of the photos and of the seeds, drawn alike for a variant and the reference",
        "photos": predictions.where(F.col("run_id") == next(iter(runs.values()))).count(),
    }  # fmt: skip
    rows = []
    for name in trainings.variants:
        folders = [Path(job.settings.paths.runs) / runs[name, seed] for seed in seeds]
        row = {
            "name": name,
            "overrides": trainings.variants[name],
            **training_figures(list(map(read_history, folders))),
        }
        rows.append(row | bleu_figures(samples[name], samples[settings.reference], job.settings.bootstrap))
    return {**about, "variants": rows}


def training_figures(histories: list[list[dict]]) -> dict:
    """Traffic, time and validation scores of a variant's runs.

    Args:
        histories: The epochs of each run; all runs have the same number of epochs.
    """
    lines = [line for history in histories for line in history]
    sent = [worker["sent_mb"] * MEBIBYTE for line in lines for worker in line["workers"]]
    lowest = [min(line["val_loss"] for line in history) for history in histories]
    bleu4 = [[line["bleu4"] for line in history] for history in histories]
    return {
        "bytes_per_epoch": round(np.mean(sent)),
        "seconds_per_epoch": round(float(np.median([line["seconds"] for line in lines])), 2),
        "val_loss_mean": round(float(np.mean(lowest)), 4),
        "bleu4_by_epoch": [round(float(np.mean(column)), 4) for column in zip(*bleu4, strict=True)],
    }


def bleu_figures(samples: np.ndarray, reference: np.ndarray, bootstrap: conf.schema.Bootstrap) -> dict:
    """BLEU-4 of a variant, and its difference to the reference with an interval.

    Args:
        samples: BLEU-4 of the variant, (seeds, 1 + bootstrap samples): first of all photos, then of drawn ones.
        reference: The same of the reference.
        bootstrap: Seed and confidence.
    """
    difference = samples - reference
    low, high = interval(mean_over_drawn_seeds(difference, bootstrap.seed), bootstrap.confidence)
    return {
        "bleu4_mean": round(float(samples[:, 0].mean()), 4),
        "bleu4_by_seed": [round(float(value), 4) for value in samples[:, 0]],
        "bleu4_difference": round(float(difference[:, 0].mean()), 4),
        "bleu4_difference_low": round(low, 4),
        "bleu4_difference_high": round(high, 4),
    }


def mean_over_drawn_seeds(difference: np.ndarray, seed: int) -> np.ndarray:
    """Draws seeds with replacement in each bootstrap sample of the photos, and averages over them.

    Args:
        difference: (seeds, 1 + samples); the first column, of all photos, is ignored.
        seed: The random seed.

    Returns:
        One mean a sample, (samples,).
    """
    count, samples = difference.shape
    drawn = np.random.default_rng(seed).integers(0, count, (count, samples - 1))
    return np.take_along_axis(difference[:, 1:], drawn, axis=0).mean(axis=0)


def trials_table(variants: list[dict]) -> str:
    """The figures as a Markdown table."""
    rows = [["variant", "overrides", "MB an epoch", "s an epoch", "val_loss", "BLEU-4", "difference"]]
    for variant in variants:
        overrides = " ".join(f"`{override}`" for override in variant["overrides"])
        low, high = variant["bleu4_difference_low"], variant["bleu4_difference_high"]
        rows.append([
            variant["name"], overrides,
            f"{variant['bytes_per_epoch'] / 1e6:.0f}", f"{variant['seconds_per_epoch']:.0f}",
            f"{variant['val_loss_mean']:.3f}", f"{variant['bleu4_mean']:.3f}",
            f"{variant['bleu4_difference']:+.4f} ({low:+.4f} to {high:+.4f})",
        ])  # fmt: skip
    return markdown_table(rows)


def plot_trials(report: dict, path: Path) -> None:
    """Plots BLEU-4 against bytes. The error bars are the interval of the difference to the reference."""
    figure, axes = pyplot().subplots(figsize=(8, 5), layout="constrained")
    (reference,) = [variant for variant in report["variants"] if variant["name"] == report["reference"]]
    axes.axhline(reference["bleu4_mean"], color="grey", linewidth=1)
    axes.axhline(reference["bleu4_mean"] - SMALL_DIFFERENCE, color="grey", linewidth=1, linestyle=":")
    for variant in report["variants"]:
        megabytes, mean = variant["bytes_per_epoch"] / 1e6, variant["bleu4_mean"]
        below = variant["bleu4_difference"] - variant["bleu4_difference_low"]
        above = variant["bleu4_difference_high"] - variant["bleu4_difference"]
        axes.errorbar(megabytes, mean, yerr=[[below], [above]], fmt="o", capsize=3)
        axes.annotate(variant["name"], (megabytes, mean), textcoords="offset points", xytext=(6, 6), fontsize=8)
    axes.set(xscale="log", xlabel="megabytes sent by each worker in an epoch", ylabel="BLEU-4, mean of the seeds")
    axes.set_title(f"BLEU-4 and network traffic; dotted: {SMALL_DIFFERENCE} below {report['reference']}", fontsize=10)
    save_svg(figure, path)


if __name__ == "__main__":
    main()
