"""Reads the learning curves of a run: the best epoch, whether to stop, and how well the model fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from udfs.engine.metrics import EpochMetrics

NOTICEABLE = 0.01  # of the lowest validation loss
LEARNED = 0.05  # of the validation loss of the first epoch
NOTICEABLE_SCORE = 0.02  # of the highest score, which varies more from epoch to epoch than the loss
LOSS_RULE = (
    f"overfitting if the validation loss of the last epoch is more than {NOTICEABLE:.0%} above its minimum and the training loss "
    f"still fell; underfitting if the minimum is in the last epoch and more than {NOTICEABLE:.0%} below the epoch before, or "
    f"less than {LEARNED:.0%} below the first epoch; otherwise a good fit"
)
SCORE_RULE = (
    f"overfitting if the score of the last epoch is more than {NOTICEABLE_SCORE:.0%} below its maximum; underfitting if the "
    f"maximum is 0, or in the last epoch and more than {NOTICEABLE_SCORE:.0%} above the epoch before; otherwise a good fit"
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
    rule: str = LOSS_RULE


def diagnose(history: Sequence[EpochMetrics], monitor: str) -> Diagnosis:
    """Reads the curve that chose the best epoch: the losses with the monitor `val_loss`, otherwise the monitored score.

    Learning from a score raises the loss while the score gets better, so the losses say nothing about such a run.
    """
    return _diagnose_losses(history) if monitor == "val_loss" else _diagnose_score(history, monitor)


def _diagnose_losses(history: Sequence[EpochMetrics]) -> Diagnosis:
    """The training loss is measured with dropout and while the weights change, so it may be above the validation loss.

    The rule looks at the direction of each curve only.
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


def _diagnose_score(history: Sequence[EpochMetrics], monitor: str) -> Diagnosis:
    best, last = best_epoch(history, monitor), history[-1]
    highest, final = best.values[monitor], last.values[monitor]
    peak = f"{monitor} of the validation photos was highest in epoch {best.epoch} of {last.epoch} ({highest:.3f})"
    if final < (1 - NOTICEABLE_SCORE) * highest:
        words = (
            f"overfitting from epoch {best.epoch + 1}: {peak} and has fallen by {1 - final / highest:.1%} since; regularise "
            "more, stop earlier or add photos"
        )
        return Diagnosis("overfitting", best.epoch + 1, words, SCORE_RULE)
    if not highest:
        words = f"underfitting: {monitor} of the validation photos stayed 0; train for more epochs or at a higher learning rate"
        return Diagnosis("underfitting", last.epoch, words, SCORE_RULE)
    if len(history) == 1 or (best is last and history[-2].values[monitor] < (1 - NOTICEABLE_SCORE) * final):
        words = f"underfitting: {peak} and was still rising; train for more epochs or at a higher learning rate"
        return Diagnosis("underfitting", last.epoch, words, SCORE_RULE)
    words = f"good fit: {peak}, and the last epoch is within {NOTICEABLE_SCORE:.0%} of it"
    return Diagnosis("good fit", best.epoch, words, SCORE_RULE)
