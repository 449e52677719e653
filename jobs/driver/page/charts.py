"""Charts as inline SVG. Their colours are variables of the page's style, so that they follow light and dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 4.4, 2.9  # inches of 72 points: as wide as a phone, so that the text stays readable there
# Colours that stand for the page's own until the SVG is written.
INK, MUTED, GRID, FIRST, SECOND, THIRD, FOURTH = (f"#0101{number:02x}" for number in range(1, 8))
VARIABLES = dict(zip((INK, MUTED, GRID, FIRST, SECOND, THIRD, FOURTH),
                     ("ink", "muted", "grid", "first", "second", "third", "fourth"), strict=True))  # fmt: skip
LINES = (FIRST, SECOND, THIRD, FOURTH)
STYLES = ("-", "--", "-.", ":")
STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "page", "text.parse_math": False, "font.size": 11, "text.color": INK,
    "axes.edgecolor": MUTED, "axes.labelcolor": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": GRID, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "legend.frameon": False,
}  # fmt: skip


def lines(
    name: str, series: dict[str, tuple[Sequence, Sequence]], x: str, y: str, mark: float | None = None, note: str = ""
):
    """A line a series of (x values, y values); `mark` is an x with a vertical line, which `note` explains."""

    def draw(axes):
        for (label, (xs, ys)), colour, style in zip(series.items(), LINES, STYLES, strict=False):
            axes.plot(xs, ys, style, color=colour, label=label, marker="o", markersize=3)
        if mark is not None:
            axes.axvline(mark, color=MUTED, linewidth=1, linestyle=":")
            axes.annotate(note, (mark, 1.01), xycoords=("data", "axes fraction"), ha="center", color=MUTED, fontsize=9)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(series) > 1:
            axes.figure.legend(loc="outside lower center", ncols=min(4, len(series)), fontsize=9)

    return _svg(name, draw, WIDTH, HEIGHT)


def shares(name: str, series: dict[str, dict[float, float]], x: str):
    """Distributions over whole numbers, each {value: share}."""

    def draw(axes):
        for (label, found), colour, style in zip(series.items(), LINES, STYLES, strict=False):
            values = sorted(found)
            axes.plot(values, [100 * found[value] for value in values], style, color=colour, label=label)
        axes.set_xlabel(x)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel("%")
        axes.set_ylim(bottom=0)
        axes.figure.legend(loc="outside lower center", ncols=min(4, len(series)), fontsize=9)

    return _svg(name, draw, WIDTH, HEIGHT)


def intervals(name: str, rows: list[tuple[str, float, float, float]], x: str, line: float | None = None):
    """A row a group of (label, value, low, high); `line` is a value that all are compared with."""

    def draw(axes):
        for place, (_, value, low, high) in enumerate(rows):
            axes.plot([low, high], [place, place], color=FIRST, linewidth=2, solid_capstyle="round")
            axes.plot([value], [place], "o", color=FIRST, markersize=5)
        if line is not None:
            axes.axvline(line, color=MUTED, linewidth=1, linestyle=":")
        axes.set_xlim(left=0)
        axes.set_yticks(range(len(rows)), [row[0] for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(x)
        axes.grid(axis="y", visible=False)

    return _svg(name, draw, WIDTH, 0.8 + 0.27 * len(rows))


def _svg(name: str, draw: Callable, width: float, height: float) -> Markup:
    """The chart as markup for the page. `name` says what it shows, and keeps its ids apart from those of other charts."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the browser draws the text, in whatever font has it
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.subplots())
        stream = io.StringIO()
        empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=empty)
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    prefix = re.sub(r"\W+", "-", name.lower())
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(
        r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true" focusable="false">', svg, count=1
    )
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"(font: ?[\d.]+px)[^;\"]*", r"\1 system-ui, sans-serif", svg)  # not the font of this machine
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return Markup(svg)  # matplotlib has escaped the labels
