"""Draws bars of the scores of captioners that differ in one choice, for the docs.

    python -m lab.experiments.ablations docs/ablations.json docs/ablations.svg

The JSON file holds `variants`, a list of objects with `name`, `bleu4` and `cider_d`; the first is what the others are compared
with.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lab.experiments.output import pyplot, save_svg

SCORES = {"bleu4": "BLEU-4", "cider_d": "CIDEr-D"}
BASE, OTHER = "#c26a00", "#3b6ea5"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.experiments.ablations", description=__doc__)
    parser.add_argument("scores", type=Path, metavar="FILE.json", help="the variants and their scores")
    parser.add_argument("file", type=Path, metavar="FILE.svg", help="file that is written")
    arguments = parser.parse_args()
    draw(json.loads(arguments.scores.read_text())["variants"], arguments.file)


def draw(variants: list[dict], path: Path) -> None:
    """Writes a figure with a panel for each of SCORES and a bar for each variant; a line marks the score of the first."""
    places, names = range(len(variants)), [variant["name"] for variant in variants]
    figure, panels = pyplot().subplots(
        1, len(SCORES), figsize=(9, 0.7 + 0.32 * len(variants)), sharey=True, layout="constrained"
    )
    for axes, (score, title) in zip(panels, SCORES.items(), strict=True):
        values = [variant[score] for variant in variants]
        bars = axes.barh(places, values, color=[BASE, *[OTHER] * (len(variants) - 1)])
        axes.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)
        axes.axvline(values[0], color=BASE, linestyle=":")
        axes.set(title=title, xlim=(0, 1.25 * max(values)), yticks=places, yticklabels=names)
    panels[0].invert_yaxis()
    save_svg(figure, path)


if __name__ == "__main__":
    main()
