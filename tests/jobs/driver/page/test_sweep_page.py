"""The page of a sweep: what it shows, and that nothing in it is markup."""

from dataclasses import replace

import pytest
from test_page import HOSTILE, Reader

from jobs.driver.page.sweep_page import render_sweep
from jobs.driver.sweep.results import SweepResult, TrialRow

ROWS = [
    TrialRow(0, "finished", 3.25, 8, 12.5, {"model.dropout": 0.3, "optimizer.name": "adam"}, "S-0000", ""),
    TrialRow(1, "pruned", 3.9, 3, 5.0, {"model.dropout": 0.5, "optimizer.name": "sgd"}, "S-0001", ""),
    TrialRow(2, "failed", None, 0, 1.0, {"model.dropout": 0.1, "optimizer.name": "adam"}, "S-0002", "lost"),
    TrialRow(3, "finished", 3.125, 8, 12.5, {"model.dropout": 0.2, "optimizer.name": "adam"}, "S-0003", ""),
    TrialRow(4, "in training", None, 0, None, {"model.dropout": 0.4, "optimizer.name": "adam"}, "", ""),
]
SHARES = {"model.dropout": 0.8, "optimizer.name": 0.2}
RESULT = SweepResult("S", "val_loss", False, ROWS, ROWS[3], SHARES, "/data/my runs/S-0003/config.yaml")


def test_the_page_shows_the_trials_the_best_one_and_what_mattered():
    page = render_sweep(RESULT)
    assert page.count("<tr") == 6
    assert page.count("<svg") == 2
    assert "model.dropout=0.2 optimizer.name=adam" in page
    assert "jobs/train.py --config &#39;/data/my runs/S-0003/config.yaml&#39; run.id=best" in page
    assert '<tr class="highlight"><th scope="row">3</th>' in page
    cells = [row.split("</td>")[0] for row in page.split('<th scope="row">')[1:]]
    assert [(cell[0], cell.split("<td>")[1].split("<")[0]) for cell in cells] == [
        ("3", "finished"), ("0", "finished"), ("1", "pruned"), ("2", "failed"), ("4", "in training"),
    ]  # fmt: skip


@pytest.mark.parametrize("rows", [[], ROWS[1:3]])
def test_a_page_without_a_finished_trial_says_so(rows):
    page = render_sweep(SweepResult("S", "bleu4", True, rows))
    assert "No trial has finished" in page
    assert "It is estimated once 10 trials have finished" in page
    assert "<svg" not in page


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_of_trials_are_no_markup(text):
    row = replace(ROWS[0], state="failed", value=None, parameters={"model.topology": text}, error=text)
    best = replace(ROWS[0], parameters={"model.topology": text}, run=text)
    page = render_sweep(SweepResult(text, text, False, [best, row], best, {text: 1.0}, text))
    seen = Reader(page)
    assert text in seen.text
    assert not {"script", "img"} & set(seen.tags)
    assert not [name for name in seen.attributes if name.startswith("on")]
