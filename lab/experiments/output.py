"""The files that experiments write: SVG figures, compact JSON and Markdown tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def pyplot() -> Any:
    """matplotlib.pyplot, set up to draw without a display."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def save_svg(figure: Any, path: Path) -> None:
    """Writes a figure and closes it. Text stays text, and the same figure gives the same file."""
    plt = pyplot()
    path.parent.mkdir(parents=True, exist_ok=True)
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": path.stem}):
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def write_json(values: dict[str, Any], path: Path) -> None:
    """Writes a JSON object with one line for each value, and one for each record of a list of records."""
    lines = [f"{json.dumps(name)}: {_records(value)}" for name, value in values.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _records(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(record, dict) for record in value):
        return "[\n" + ",\n".join(map(json.dumps, value)) + "\n]"
    return json.dumps(value)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of rows of cells; the first row is the head."""
    head, *lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *lines])
