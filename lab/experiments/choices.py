"""What the choices of jobs/train.py do, for the table of docs/learning.md: each trained once, validated after each epoch.

    python -m lab.experiments.choices lab/experiments/choices.yaml

Finished runs are kept: the same command goes on where it was stopped. Writes a JSON file with every figure and prints a table.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median

from omegaconf import OmegaConf

import conf
import jobs.train
from lab.experiments.run_plot import read_history
from lab.experiments.trials import markdown, run_jobs


def main(path: str) -> None:
    study = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    settings = conf.load(study["config"], study["common"])
    choices = [choice(study, settings, Path(path).stem, name) for name in study["settings"]]
    report = {key: study[key] for key in ("config", "common", "seed")} | {"decoding": "greedy", "choices": choices}
    Path(study["json"]).write_text(json.dumps(report, indent=1) + "\n")
    print(table(choices))


def choice(study: dict, settings: conf.Settings, title: str, name: str) -> dict:
    """Trains with one choice; the figures of its epoch with the lowest validation loss, and of all."""
    history = read_history(Path(settings.paths.runs) / run_jobs(study, title, name, study["seed"], (jobs.train,)))
    best = min(history, key=lambda line: line["val_loss"])
    return {
        "name": name, "overrides": study["settings"][name], "epoch": best["epoch"], "loss": best["loss"],
        "val_loss": best["val_loss"], "bleu1": best["bleu1"], "bleu4": best["bleu4"],
        "val_loss_by_epoch": [line["val_loss"] for line in history], "bleu4_by_epoch": [line["bleu4"] for line in history],
        "seconds_per_epoch": round(median(line["seconds"] for line in history), 1),
    }  # fmt: skip


def table(choices: list[dict]) -> str:
    """The figures as a Markdown table."""
    rows = [("choice", "overrides", "loss", "val_loss", "BLEU-1", "BLEU-4", "s an epoch")]
    for found in choices:
        overrides = " ".join(f"`{override}`" for override in found["overrides"])
        figures = [f"{found[name]:.3f}" for name in ("loss", "val_loss", "bleu1", "bleu4")]
        rows.append([found["name"], overrides, *figures, str(found["seconds_per_epoch"])])
    return markdown(rows)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
