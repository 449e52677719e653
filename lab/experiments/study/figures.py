"""Draws the study's figures from its report, docs/scaling.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lab.experiments.output import pyplot, save_svg

STYLES = {"thesis": "--o", "ours": "-s"}
UNLIMITED = "unlimited"
Panels = Callable[[int], Iterable[Any]]  # makes a figure with so many panels and gives their axes
Draw = Callable[[dict, Panels], None]


def draw_all(report: dict, folder: Path) -> list[Path]:
    """Writes every figure as an SVG file.

    Args:
        report: The content of scaling.json.
        folder: The folder of the files.

    Returns:
        The paths of the files.
    """
    paths = []
    for name, draw in FIGURES.items():
        path = folder / f"{name}.svg"
        _draw(report, draw, path)
        paths.append(path)
    return paths


def rate_label(mbit: float) -> str:
    """A bandwidth in Mbit/s as a label; 0 is unlimited."""
    return UNLIMITED if not mbit else f"{mbit / 1000:g} Gbit/s" if mbit >= 1000 else f"{mbit:g} Mbit/s"


def main_engines(report: dict) -> list[str]:
    """The engines that are compared; variations appear only in a table."""
    return [name for name, engine in report["engines"].items() if not engine["variation"]]


def bandwidths(report: dict) -> list[float]:
    """The bandwidths that were measured on more than one node, in ascending order, unlimited last."""
    measured = {run["bandwidth_mbit"] for run in report["runs"] if run["nodes"] > 1}
    return sorted(measured, key=lambda mbit: mbit or float("inf"))


def series(report: dict, regime: str, engine: str, mbit: float, figure: str) -> tuple[list[int], list[float]]:
    """Numbers of nodes and a figure's values. One node has the same value at any bandwidth; missing values are left out."""
    runs = [
        run for run in report["runs"]
        if run["regime"] == regime and run["engine"] == engine and (run["nodes"] == 1 or run["bandwidth_mbit"] == mbit)
    ]  # fmt: skip
    points = sorted((run["nodes"], run[figure]) for run in runs if run[figure] is not None)
    return [nodes for nodes, _ in points], [value for _, value in points]


def _against_nodes(figure: str, label: str, regime: str, log: bool = False, ideal: bool = False) -> Draw:
    """One panel for each bandwidth."""

    def draw(report: dict, panels: Panels) -> None:
        rates = bandwidths(report)
        for axes, mbit in zip(panels(len(rates)), rates, strict=True):
            for engine in main_engines(report):
                axes.plot(*series(report, regime, engine, mbit, figure), STYLES.get(engine, "-o"), label=engine)
            if ideal:
                nodes = sorted({run["nodes"] for run in report["runs"]})
                axes.plot(nodes, nodes, ":", color="grey", label="ideal")
            axes.set(title=rate_label(mbit), xlabel="nodes", ylabel=label)
            if log:
                _set_logarithmic(axes, "y")
            else:
                axes.set_ylim(bottom=0)
            _finish(axes)

    return draw


def _draw_bleu(report: dict, panels: Panels) -> None:
    """One panel for each engine: the mean of the seeds for each trajectory."""
    engines = main_engines(report)
    for axes, engine in zip(panels(len(engines)), engines, strict=True):
        lines = [line for line in report["trajectories"] if line["engine"] == engine]
        for nodes, mbit in sorted({(line["nodes"], line["bandwidth_mbit"]) for line in lines}):
            seeds = [line["bleu4"] for line in lines if (line["nodes"], line["bandwidth_mbit"]) == (nodes, mbit)]
            values = [sum(column) / len(column) for column in zip(*seeds, strict=True)]
            label = trajectory_label(report, engine, nodes, mbit)
            axes.plot(range(1, len(values) + 1), values, "-o", markersize=3, label=label)
        axes.axhline(report["target_bleu4"], color="grey", linestyle=":", label="target")
        axes.set(title=engine, xlabel="epoch", ylabel="validation BLEU-4")
        _finish(axes)


def trajectory_label(report: dict, engine: str, nodes: int, mbit: float) -> str:
    """The numbers of nodes and the bandwidths that share a trajectory."""
    links = report["engines"][engine]["links"]
    if nodes == 1:
        return "1 node" if len(report["engines"][engine]["paths"]) > 1 else "any number of nodes"
    settings = links.get(f"{mbit:g}")
    rates = ", ".join(rate_label(float(link)) for link, overrides in links.items() if overrides == settings)
    return f"{nodes} or more nodes{': ' if rates else ''}{rates}"


def _draw_resources(report: dict, panels: Panels) -> None:
    """Means over the bandwidths of the first regime."""
    figures = {
        "cpu_cores": "cores in use, a node",
        "memory_mb": "MB resident, a node",
        "bytes_per_epoch": "MB sent an epoch, a node",
    }
    regime = next(iter(report["regimes"]))
    for axes, (figure, label) in zip(panels(len(figures)), figures.items(), strict=True):
        for engine in main_engines(report):
            runs = [run for run in report["runs"] if (run["regime"], run["engine"]) == (regime, engine)]
            nodes = sorted({run["nodes"] for run in runs})
            values = [[run[figure] for run in runs if run["nodes"] == n] for n in nodes]
            scale = 1e6 if figure == "bytes_per_epoch" else 1
            axes.plot(nodes, [sum(v) / len(v) / scale for v in values], STYLES.get(engine, "-o"), label=engine)
        axes.set(xlabel="nodes", ylabel=label)
        axes.set_ylim(bottom=0)
        _finish(axes)


def _draw_predictions(report: dict, panels: Panels) -> None:
    """Seconds an epoch by the cost model, with ring all-reduce."""
    engines = main_engines(report)
    for axes, engine in zip(panels(len(engines)), engines, strict=True):
        lines = [line for line in report["predictions"] if (line["engine"], line["exchange"]) == (engine, "ring")]
        for mbit in sorted({line["bandwidth_mbit"] for line in lines}):
            points = sorted(
                (line["nodes"], line["seconds_per_epoch"]) for line in lines if line["bandwidth_mbit"] == mbit
            )
            axes.plot(*zip(*points, strict=True), "-o", markersize=3, label=rate_label(mbit))
        axes.set(title=f"{engine}: predicted, not measured", xlabel="nodes", ylabel="seconds an epoch")
        _set_logarithmic(axes, "y")
        _set_logarithmic(axes, "x", 2)
        axes.legend(fontsize=8)


def _finish(axes: Any) -> None:
    """Whole numbers on the x axis, and a legend."""
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize=8)


def _set_logarithmic(axes: Any, name: str, base: int = 10) -> None:
    """Makes axis x or y logarithmic, with plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    getattr(axes, f"set_{name}scale")("log", base=base)
    axis = getattr(axes, f"{name}axis")
    axis.set_major_locator(LogLocator(base, subs=(1, 2, 3, 5) if base == 10 else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))


FIGURES: dict[str, Draw] = {
    "time-equal": _against_nodes("seconds_to_bleu", "seconds to the target", "equal", log=True),
    "time-divided": _against_nodes("seconds_to_bleu", "seconds to the target", "divided", log=True),
    "speedup": _against_nodes("speedup", "speed-up", "equal", ideal=True),
    "efficiency": _against_nodes("efficiency", "efficiency", "equal"),
    "communication": _against_nodes("communication_share", "share of time in communication", "equal"),
    "bleu": _draw_bleu,
    "resources": _draw_resources,
    "predictions": _draw_predictions,
}


def _draw(report: dict, draw: Draw, path: Path) -> None:
    figures = []

    def panels(count: int) -> Iterable[Any]:
        columns = min(count, 2) if count != 3 else 3
        rows = -(-count // columns)
        size = (4.2 * columns, 3.2 * rows)
        figure, axes = pyplot().subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
        figures.append(figure)
        for spare in axes.flat[count:]:
            spare.set_visible(False)
        return axes.flat[:count]

    draw(report, panels)
    save_svg(figures[0], path)
