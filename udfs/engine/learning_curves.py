"""What the curves of a training run say: the best epoch, whether to go on, and how well the model fits."""

from __future__ import annotations

from dataclasses import dataclass

NOTICEABLE = 0.01  # of the lowest validation loss
LEARNED = 0.05  # of the validation loss of the first epoch
RULE = (
    f"the validation loss of the last epoch more than {NOTICEABLE:.0%} above its lowest, while the training loss still fell: "
    f"overfitting from the epoch after the lowest; its lowest in the last epoch, and more than {NOTICEABLE:.0%} under that of "
    f"the epoch before, or never {LEARNED:.0%} under that of the first: underfitting; otherwise a good fit"
)


def best_line(history: list[dict], monitor: str) -> dict:
    """The line of the epoch with the lowest val_loss or the highest bleu4; the earlier of equal ones."""
    if monitor == "bleu4":
        return max(history, key=lambda line: line["bleu4"])
    return min(history, key=lambda line: line["val_loss"])


def out_of_patience(history: list[dict], monitor: str, patience: int) -> bool:
    """Whether the last `patience` epochs brought nothing better; never with patience 0."""
    return bool(patience and history) and history[-1]["epoch"] - best_line(history, monitor)["epoch"] >= patience


@dataclass(frozen=True)
class Diagnosis:
    """How a model fits: `underfitting`, `good fit` or `overfitting`, since which epoch, in words, and by which rule."""

    fit: str
    epoch: int
    words: str
    rule: str = RULE


def diagnose(history: list[dict]) -> Diagnosis:
    """Reads the losses of a run. history: lines with epoch, loss and val_loss, in order.

    The training loss is measured with dropout and on changing weights, so it may lie above the validation loss: what
    counts is where each one goes.
    """
    best, last = best_line(history, "val_loss"), history[-1]
    lowest = f"the validation loss was lowest in epoch {best['epoch']} of {last['epoch']} ({best['val_loss']:.3f})"
    rise = last["val_loss"] / best["val_loss"] - 1
    if rise > NOTICEABLE and last["loss"] < best["loss"]:
        words = (
            f"overfitting from epoch {best['epoch'] + 1}: {lowest} and rose by {rise:.1%} since, while the training loss "
            f"fell from {best['loss']:.3f} to {last['loss']:.3f}; regularise more, stop earlier or add photos"
        )
        return Diagnosis("overfitting", best["epoch"] + 1, words)
    if len(history) == 1 or (best is last and history[-2]["val_loss"] / last["val_loss"] - 1 > NOTICEABLE):
        words = f"underfitting: {lowest} and still fell; train for more epochs or at a higher rate"
        return Diagnosis("underfitting", last["epoch"], words)
    if best["val_loss"] > (1 - LEARNED) * history[0]["val_loss"]:
        words = (
            f"underfitting: {lowest}, hardly under that of the first epoch; raise the learning rate or the model's size"
        )
        return Diagnosis("underfitting", last["epoch"], words)
    words = f"good fit: {lowest}, and the last epoch is within {max(rise, 0.0):.1%} of it"
    return Diagnosis("good fit", best["epoch"], words)
