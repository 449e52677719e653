"""Plots BLEU-1 to BLEU-4 and the losses of a run against its epochs, for the docs.

python -m lab.experiments.run_plot RUN_FOLDER FILE.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lab.experiments.output import pyplot, save_svg
from lab.experiments.runs import read_history

PANELS = (("bleu1", "bleu2", "bleu3", "bleu4"), ("loss", "val_loss"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.experiments.run_plot", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN_FOLDER", help="folder of a trained run")
    parser.add_argument("file", type=Path, metavar="FILE.svg", help="file that is written")
    arguments = parser.parse_args()
    plot_run(read_history(arguments.run), arguments.file)


def plot_run(history: list[dict], path: Path) -> None:
    """Writes a figure with a panel for the scores and one for the losses; a line marks the epoch with the lowest val_loss."""
    epochs = [line["epoch"] for line in history]
    best = min(history, key=lambda line: line["val_loss"])["epoch"]
    figure, panels = pyplot().subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axes, names in zip(panels, PANELS, strict=True):
        for name in names:
            axes.plot(epochs, [line[name] for line in history], "-o", markersize=3, label=name)
        axes.axvline(best, color="grey", linestyle=":", label=f"lowest val_loss: epoch {best}")
        axes.set(xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=8)
    panels[0].set_ylim(bottom=0)
    save_svg(figure, path)


if __name__ == "__main__":
    main()
