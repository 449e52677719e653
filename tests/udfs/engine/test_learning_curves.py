import pytest

from udfs.engine.learning_curves import best_epoch, diagnose, out_of_patience
from udfs.engine.metrics import EpochMetrics


def lines(val_loss, loss=None, bleu4=None) -> list[EpochMetrics]:
    loss = loss or [5 - 0.5 * epoch for epoch in range(len(val_loss))]
    found = [{"epoch": e, "loss": a, "val_loss": b} for e, (a, b) in enumerate(zip(loss, val_loss, strict=True), 1)]
    for line, score in zip(found, bleu4 or [], strict=False):
        line["bleu4"] = score
    return [EpochMetrics.from_line(line) for line in found]


def test_best_epoch_by_either_monitor_and_the_earlier_of_equals():
    history = lines([3, 2, 2, 4], bleu4=[0.1, 0.2, 0.3, 0.3])
    assert best_epoch(history, "val_loss").epoch == 2
    assert best_epoch(history, "bleu4").epoch == 3


@pytest.mark.parametrize(("patience", "stops"), [(0, False), (1, True), (2, True), (3, False)])
def test_patience(patience, stops):
    assert out_of_patience(lines([3, 2, 2.1, 2.1]), "val_loss", patience) is stops
    assert not out_of_patience([], "val_loss", patience)


@pytest.mark.parametrize(
    ("val_loss", "loss", "fit", "epoch"),
    [
        ([4, 3, 2.5, 2.6], None, "overfitting", 4),
        ([4, 3, 2.5, 2.51], None, "good fit", 3),  # within one per cent
        ([4, 3, 2.9, 2.89], None, "good fit", 4),
        ([4, 3, 2.5, 2], None, "underfitting", 4),
        ([4, 3, 2.5, 2.6], [4, 3, 2, 2.1], "good fit", 3),  # both rose: not learning by heart
        ([4], None, "underfitting", 1),
        ([3.75, 3.74, 3.72, 3.71], None, "underfitting", 4),  # it hardly learns at all
    ],
)
def test_diagnosis_of_the_losses(val_loss, loss, fit, epoch):
    found = diagnose(lines(val_loss, loss), "val_loss")
    assert (found.fit, found.epoch) == (fit, epoch)
    assert found.words.startswith(fit)
    assert "loss" in found.rule


@pytest.mark.parametrize(
    ("bleu4", "fit", "epoch"),
    [
        ([0.17, 0.19, 0.20, 0.195], "overfitting", 4),
        ([0.17, 0.19, 0.20, 0.199], "good fit", 3),  # within two per cent
        ([0.17, 0.19, 0.20, 0.201], "good fit", 4),
        ([0.17, 0.18, 0.19, 0.20], "underfitting", 4),
        ([0.2], "underfitting", 1),
        ([0.0, 0.0], "underfitting", 2),
    ],
)
def test_diagnosis_of_a_score_ignores_the_losses_which_rise_when_a_model_learns_from_its_score(bleu4, fit, epoch):
    found = diagnose(lines([3.0 + 0.1 * n for n in range(len(bleu4))], bleu4=bleu4), "bleu4")
    assert (found.fit, found.epoch) == (fit, epoch)
    assert found.words.startswith(fit)
    assert "score" in found.rule
