"""Measures what each choice of jobs/train.py does: trains each once and validates it after every epoch.

    python -m lab.experiments.choices lab/experiments/choices.yaml

Writes all figures to a JSON file and prints the table of docs/learning.md. Finished runs are kept, so that the same command
continues after an interruption.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated

import conf
from conf.key import key, text
from lab.command import file_and_overrides, run_command
from lab.experiments.output import markdown_table, write_json
from lab.experiments.runs import read_history
from lab.experiments.trainings import Trainings, Trial, run_jobs

PROGRAM = "lab.experiments.choices"
FIGURES = ("loss", "val_loss", "bleu1", "bleu4")


@dataclass
class ChoicesSettings:
    json: Annotated[str, text("JSON file that is written")] = "docs/choices.json"
    seed: Annotated[int, key("train.seed of all trainings", low=0)] = 0
    trainings: Trainings = field(default_factory=Trainings)

    def __post_init__(self):
        if not self.trainings.variants:
            raise ValueError("trainings.variants: found none, expected names with overrides of jobs/train.py; add one")


def main() -> None:
    arguments = file_and_overrides(PROGRAM, __doc__, ChoicesSettings).parse_intermixed_args()
    run_command(PROGRAM, lambda: measure_choices(arguments.file, arguments.overrides))


def measure_choices(path: str, overrides: list[str]) -> None:
    settings = conf.load_as(ChoicesSettings, path, overrides, f"python -m {PROGRAM} --help")
    trainings = settings.trainings
    trials = [Trial(Path(path).stem, name, settings.seed) for name in trainings.variants]
    choices = [measure_choice(trainings, trial) for trial in trials]
    about = {"config": trainings.config, "common": trainings.common, "seed": settings.seed, "decoding": "greedy"}
    write_json({**about, "choices": choices}, Path(settings.json))
    print(choices_table(choices))


def measure_choice(trainings: Trainings, trial: Trial) -> dict:
    """Trains with one choice. Returns the figures of the epoch with the lowest validation loss, and scores of all epochs."""
    runs = conf.load(trainings.config, trainings.overrides(trial.name)).paths.runs
    history = read_history(Path(runs) / run_jobs(trainings, trial, ("train",)))
    best = min(history, key=lambda line: line["val_loss"])
    return {
        "name": trial.name, "overrides": trainings.variants[trial.name], "epoch": best["epoch"],
        **{figure: best[figure] for figure in FIGURES},
        "val_loss_by_epoch": [line["val_loss"] for line in history],
        "bleu4_by_epoch": [line["bleu4"] for line in history],
        "seconds_per_epoch": round(median(line["seconds"] for line in history), 1),
    }  # fmt: skip


def choices_table(choices: list[dict]) -> str:
    """The figures as a Markdown table."""
    rows = [["choice", "overrides", "loss", "val_loss", "BLEU-1", "BLEU-4", "s an epoch"]]
    for choice in choices:
        overrides = " ".join(f"`{override}`" for override in choice["overrides"])
        figures = [f"{choice[figure]:.3f}" for figure in FIGURES]
        rows.append([choice["name"], overrides, *figures, str(choice["seconds_per_epoch"])])
    return markdown_table(rows)


if __name__ == "__main__":
    main()
