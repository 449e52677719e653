"""Charts as inline SVG. Text stays text, and the colours are variables of the page's style, so dark mode changes them too."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 4.4, 2.9  # inches of 72 points: as wide as a phone, so that the text stays readable there
# Placeholder colours for matplotlib, replaced by CSS variables in the SVG.
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


@dataclass(frozen=True)
class Mark:
    """A vertical line at an x value, with a note above it."""

    x: float
    note: str


def lines(name: str, series: dict[str, tuple[Sequence, Sequence]], x: str, y: str, mark: Mark | None = None) -> Markup:
    """Draws a line for each series.

    Args:
        name: Names the chart's elements; unique on the page.
        series: {label: (x values, y values)}, at most four.
        x: Label of the x axis, whose values are whole numbers.
        y: Label of the y axis.
        mark: A vertical line.
    """

    def draw(axes: Axes) -> None:
        for (label, (xs, ys)), colour, style in zip(series.items(), LINES, STYLES, strict=False):
            axes.plot(xs, ys, style, color=colour, label=label, marker="o", markersize=3)
        if mark is not None:
            place = {"xycoords": ("data", "axes fraction"), "ha": "center"}
            axes.axvline(mark.x, color=MUTED, linewidth=1, linestyle=":")
            axes.annotate(mark.note, (mark.x, 1.01), **place, color=MUTED, fontsize=9)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        _whole_numbers(axes)
        if len(series) > 1:
            _add_legend(axes, len(series))

    return _svg(name, draw, WIDTH, HEIGHT)


def distributions(name: str, series: dict[str, dict[int, float]], x: str) -> Markup:
    """Draws distributions over whole numbers.

    Args:
        name: Names the chart's elements; unique on the page.
        series: {label: {value: share}}, at most four.
        x: Label of the x axis.
    """

    def draw(axes: Axes) -> None:
        for (label, shares), colour, style in zip(series.items(), LINES, STYLES, strict=False):
            values = sorted(shares)
            axes.plot(values, [100 * shares[value] for value in values], style, color=colour, label=label)
        axes.set_xlabel(x)
        _whole_numbers(axes)
        axes.set_ylabel("%")
        axes.set_ylim(bottom=0)
        _add_legend(axes, len(series))

    return _svg(name, draw, WIDTH, HEIGHT)


def intervals(name: str, rows: list[tuple[str, float, float, float]], x: str, reference: float | None = None) -> Markup:
    """Draws values with their intervals, one row for each.

    Args:
        name: Names the chart's elements; unique on the page.
        rows: (label, value, low, high).
        x: Label of the x axis.
        reference: A value to compare with, drawn as a dotted line.
    """

    def draw(axes: Axes) -> None:
        for place, (_, value, low, high) in enumerate(rows):
            axes.plot([low, high], [place, place], color=FIRST, linewidth=2, solid_capstyle="round")
            axes.plot([value], [place], "o", color=FIRST, markersize=5)
        if reference is not None:
            axes.axvline(reference, color=MUTED, linewidth=1, linestyle=":")
        axes.set_xlim(left=0)
        axes.set_yticks(range(len(rows)), [row[0] for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(x)
        axes.grid(axis="y", visible=False)

    return _svg(name, draw, WIDTH, 0.8 + 0.27 * len(rows))


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True))


def _add_legend(axes: Axes, entries: int) -> None:
    axes.figure.legend(loc="outside lower center", ncols=min(4, entries), fontsize=9)


def _svg(name: str, draw: Callable[[Axes], None], width: float, height: float) -> Markup:
    """Draws a chart of the given size in inches; the ids of its elements begin with its name."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the browser draws the text, with a font that has the glyph
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
    # The page's font, not this machine's; matplotlib writes `font` or `font-family`, depending on its version.
    svg = re.sub(r"(font: ?[\d.]+px)[^;\"]*", r"\1 system-ui, sans-serif", svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return Markup(svg)  # matplotlib has escaped the labels
