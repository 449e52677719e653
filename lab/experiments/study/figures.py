"""The study's figures, drawn from docs/scaling.json alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

STYLES = {"thesis": "--o", "ours": "-s"}
UNLIMITED = "unlimited"


def draw_all(report: dict, folder: Path) -> list[Path]:
    """Writes an SVG a figure; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, draw in FIGURES.items():
        path = folder / f"{name}.svg"
        _save(report, draw, path)
        drawn.append(path)
    return drawn


def rate(mbit: float) -> str:
    return UNLIMITED if not mbit else f"{mbit / 1000:g} Gbit/s" if mbit >= 1000 else f"{mbit:g} Mbit/s"


def engines(report: dict) -> list[str]:
    """Those that are compared; variations are for the table."""
    return [name for name, engine in report["engines"].items() if not engine["variation"]]


def bandwidths(report: dict) -> list[float]:
    """Those that were measured with more than one node, the narrowest first, unlimited last."""
    found = {run["bandwidth_mbit"] for run in report["runs"] if run["nodes"] > 1}
    return sorted(found, key=lambda mbit: mbit or float("inf"))


def series(report: dict, regime: str, engine: str, mbit: float, figure: str) -> tuple[list[int], list[float]]:
    """A figure against nodes; one node's is the same at any bandwidth. What has no value is left out."""
    runs = [
        run for run in report["runs"]
        if run["regime"] == regime and run["engine"] == engine and (run["nodes"] == 1 or run["bandwidth_mbit"] == mbit)
    ]  # fmt: skip
    points = sorted((run["nodes"], run[figure]) for run in runs if run[figure] is not None)
    return [nodes for nodes, _ in points], [value for _, value in points]


def _against_nodes(figure: str, label: str, regime: str, log: bool = False, ideal: bool = False) -> Callable:
    def draw(report: dict, plots) -> None:
        rates = bandwidths(report)
        for axes, mbit in zip(plots(len(rates)), rates, strict=True):
            for engine in engines(report):
                axes.plot(*series(report, regime, engine, mbit, figure), STYLES.get(engine, "-o"), label=engine)
            if ideal:
                nodes = sorted({run["nodes"] for run in report["runs"]})
                axes.plot(nodes, nodes, ":", color="grey", label="ideal")
            axes.set(title=rate(mbit), xlabel="nodes", ylabel=label)
            if log:
                _logarithmic(axes, "y")
            else:
                axes.set_ylim(bottom=0)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(fontsize=8)

    return draw


def _bleu(report: dict, plots) -> None:
    """One panel an engine: the mean of the seeds at each number of nodes that has a trajectory of its own."""
    for axes, engine in zip(plots(len(engines(report))), engines(report), strict=True):
        own = [line for line in report["trajectories"] if line["engine"] == engine]
        for nodes, mbit in sorted({(line["nodes"], line["bandwidth_mbit"]) for line in own}):
            seeds = [line["bleu4"] for line in own if (line["nodes"], line["bandwidth_mbit"]) == (nodes, mbit)]
            values = [sum(column) / len(column) for column in zip(*seeds, strict=True)]
            axes.plot(
                range(1, len(values) + 1), values, "-o", markersize=3, label=followers(report, engine, nodes, mbit)
            )
        axes.axhline(report["target_bleu4"], color="grey", linestyle=":", label="target")
        axes.set(title=engine, xlabel="epoch", ylabel="validation BLEU-4")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=8)


def followers(report: dict, engine: str, nodes: int, mbit: float) -> str:
    """Whose trajectory it is."""
    links = report["engines"][engine]["links"]
    if nodes == 1:
        return "1 node" if len(report["engines"][engine]["paths"]) > 1 else "any number of nodes"
    settings = links.get(f"{mbit:g}")
    rates = ", ".join(rate(float(link)) for link, own in links.items() if own == settings)
    return f"{nodes} or more nodes{': ' if rates else ''}{rates}"


def _resources(report: dict, plots) -> None:
    """Means over the bandwidths of the first regime."""
    figures = {
        "cpu_cores": "cores in use, a node",
        "memory_mb": "MB resident, a node",
        "bytes_per_epoch": "MB sent an epoch, a node",
    }
    regime = next(iter(report["regimes"]))
    for axes, (figure, label) in zip(plots(len(figures)), figures.items(), strict=True):
        for engine in engines(report):
            own = [run for run in report["runs"] if (run["regime"], run["engine"]) == (regime, engine)]
            nodes = sorted({run["nodes"] for run in own})
            values = [[run[figure] for run in own if run["nodes"] == n] for n in nodes]
            scale = 1e6 if figure == "bytes_per_epoch" else 1
            axes.plot(nodes, [sum(v) / len(v) / scale for v in values], STYLES.get(engine, "-o"), label=engine)
        axes.set(xlabel="nodes", ylabel=label)
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=8)


def _predictions(report: dict, plots) -> None:
    """Seconds an epoch by the model, ring only."""
    for axes, engine in zip(plots(len(engines(report))), engines(report), strict=True):
        own = [line for line in report["predictions"] if (line["engine"], line["exchange"]) == (engine, "ring")]
        for mbit in sorted({line["bandwidth_mbit"] for line in own}):
            points = sorted(
                (line["nodes"], line["seconds_per_epoch"]) for line in own if line["bandwidth_mbit"] == mbit
            )
            axes.plot(*zip(*points, strict=True), "-o", markersize=3, label=rate(mbit))
        axes.set(
            title=f"{engine}: predicted, not measured",
            xlabel="nodes",
            ylabel="seconds an epoch",
        )
        _logarithmic(axes, "y")
        _logarithmic(axes, "x", 2)
        axes.legend(fontsize=8)


def _logarithmic(axes, name: str, base: int = 10) -> None:
    """Makes axis x or y logarithmic, with plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    getattr(axes, f"set_{name}scale")("log", base=base)
    axis = getattr(axes, f"{name}axis")
    axis.set_major_locator(LogLocator(base, subs=(1, 2, 3, 5) if base == 10 else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))


FIGURES: dict[str, Callable] = {
    "time-equal": _against_nodes("seconds_to_bleu", "seconds to the target", "equal", log=True),
    "time-divided": _against_nodes("seconds_to_bleu", "seconds to the target", "divided", log=True),
    "speedup": _against_nodes("speedup", "speed-up", "equal", ideal=True),
    "efficiency": _against_nodes("efficiency", "efficiency", "equal"),
    "communication": _against_nodes("communication_share", "share of time in communication", "equal"),
    "bleu": _bleu,
    "resources": _resources,
    "predictions": _predictions,
}


def _save(report: dict, draw: Callable, path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figures = []

    def plots(count: int):
        columns = min(count, 2) if count != 3 else 3
        rows = -(-count // columns)
        figure, axes = plt.subplots(
            rows, columns, figsize=(4.2 * columns, 3.2 * rows), layout="constrained", squeeze=False
        )
        figures.append(figure)
        for spare in axes.flat[count:]:
            spare.set_visible(False)
        return axes.flat[:count]

    with matplotlib.rc_context({"svg.hashsalt": path.stem}):
        draw(report, plots)
        figures[0].savefig(path, metadata={"Date": None})
    plt.close(figures[0])
