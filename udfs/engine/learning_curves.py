"""Reads the learning curves of a run: the best epoch, whether to stop, and how well the model fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from udfs.engine.metrics import EpochMetrics

NOTICEABLE = 0.01  # of the lowest validation loss
LEARNED = 0.05  # of the validation loss of the first epoch
RULE = (
    f"overfitting if the validation loss of the last epoch is more than {NOTICEABLE:.0%} above its minimum and the training loss "
    f"still fell; underfitting if the minimum is in the last epoch and more than {NOTICEABLE:.0%} below the epoch before, or "
    f"less than {LEARNED:.0%} below the first epoch; otherwise a good fit"
)


def best_epoch(history: Sequence[EpochMetrics], monitor: str) -> EpochMetrics:
    """The epoch with the lowest `val_loss`, or with the highest value of any other monitor; of equals, the earlier one."""
    if monitor == "val_loss":
        return min(history, key=lambda epoch: epoch.val_loss)
    return max(history, key=lambda epoch: epoch.values[monitor])


def out_of_patience(history: Sequence[EpochMetrics], monitor: str, patience: int) -> bool:
    """Whether the last `patience` epochs brought no improvement; never with patience 0."""
    return bool(patience and history) and history[-1].epoch - best_epoch(history, monitor).epoch >= patience


@dataclass(frozen=True)
class Diagnosis:
    """How a model fits: `underfitting`, `good fit` or `overfitting`, since which epoch, in words, and by which rule."""

    fit: str
    epoch: int
    words: str
    rule: str = RULE


def diagnose(history: Sequence[EpochMetrics]) -> Diagnosis:
    """Reads the losses of a run, epoch by epoch.

    The training loss is measured with dropout and while the weights change, so it may be above the validation loss. The rule
    looks at the direction of each curve only.
    """
    best, last = best_epoch(history, "val_loss"), history[-1]
    lowest = f"the validation loss was lowest in epoch {best.epoch} of {last.epoch} ({best.val_loss:.3f})"
    rise = last.val_loss / best.val_loss - 1
    if rise > NOTICEABLE and last.loss < best.loss:
        words = (
            f"overfitting from epoch {best.epoch + 1}: {lowest} and has risen by {rise:.1%} since, while the training loss "
            f"fell from {best.loss:.3f} to {last.loss:.3f}; regularise more, stop earlier or add photos"
        )
        return Diagnosis("overfitting", best.epoch + 1, words)
    if len(history) == 1 or (best is last and history[-2].val_loss / last.val_loss - 1 > NOTICEABLE):
        words = f"underfitting: {lowest} and was still falling; train for more epochs or at a higher learning rate"
        return Diagnosis("underfitting", last.epoch, words)
    if best.val_loss > (1 - LEARNED) * history[0].val_loss:
        words = f"underfitting: {lowest}, barely below that of the first epoch; increase the learning rate or the model's size"
        return Diagnosis("underfitting", last.epoch, words)
    words = f"good fit: {lowest}, and the last epoch is within {max(rise, 0.0):.1%} of it"
    return Diagnosis("good fit", best.epoch, words)
