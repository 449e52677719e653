"""`python -m lab.experiments.run_plot RUN FILE.svg`:

BLEU-1..4 and losses of a run against epochs, as its page shows them, for the docs."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(run: str, target: str) -> None:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    history = read_history(Path(run))
    epochs = [line["epoch"] for line in history]
    best = min(history, key=lambda line: line["val_loss"])["epoch"]
    figure, (scores, losses) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axes, names in ((scores, ("bleu1", "bleu2", "bleu3", "bleu4")), (losses, ("loss", "val_loss"))):
        for name in names:
            axes.plot(epochs, [line[name] for line in history], "-o", markersize=3, label=name)
        axes.axvline(best, color="grey", linestyle=":", label=f"lowest val_loss: epoch {best}")
        axes.set(xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=8)
    scores.set_ylim(bottom=0)
    with matplotlib.rc_context({"svg.hashsalt": "curves"}):
        figure.savefig(target, metadata={"Date": None})


def read_history(folder: Path) -> list[dict]:
    """What a run's metrics.jsonl says of each epoch."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
