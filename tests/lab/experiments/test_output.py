"""Files that experiments write."""

from __future__ import annotations

import json

from lab.experiments.output import markdown_table, pyplot, save_svg, write_json
from lab.experiments.run_plot import plot_run
from lab.experiments.runs import read_history, run_id


def test_a_figure_holds_its_text_as_text_and_is_the_same_each_time(tmp_path):
    contents = []
    for _ in range(2):
        figure, axes = pyplot().subplots()
        axes.set_title("Speed-up")
        save_svg(figure, tmp_path / "some" / "figure.svg")
        contents.append((tmp_path / "some" / "figure.svg").read_text())
    assert ">Speed-up</text>" in contents[0]
    assert contents[0] == contents[1]


def test_a_run_is_plotted_from_its_metrics(tmp_path):
    scores = {"bleu1": 0.5, "bleu2": 0.4, "bleu3": 0.3, "bleu4": 0.2, "loss": 3.0}
    lines = [{"epoch": epoch, "val_loss": loss, **scores} for epoch, loss in ((1, 3.0), (2, 2.0), (3, 2.5))]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert read_history(tmp_path) == lines
    plot_run(read_history(tmp_path), tmp_path / "run.svg")
    assert ">lowest val_loss: epoch 2</text>" in (tmp_path / "run.svg").read_text()


def test_json_has_a_line_for_each_record(tmp_path):
    values = {
        "seeds": [0, 1],
        "runs": [{"nodes": 1, "mbit": [9.5]}, {"nodes": 2, "mbit": []}],
        "faults": [],
        "name": None,
    }
    write_json(values, tmp_path / "report.json")
    text = (tmp_path / "report.json").read_text()
    assert json.loads(text) == values
    assert '\n{"nodes": 2, "mbit": []}\n' in text
    assert len(text.splitlines()) == 2 + 4 + 2 + 1


def test_a_table_has_a_head():
    assert markdown_table([["a", "b"], ["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_an_id_of_a_run_has_no_characters_that_a_folder_cannot_have():
    assert run_id("study", "rank 16, bfloat16", 2, "0.5") == "study-rank-16-bfloat16-2-0.5"
