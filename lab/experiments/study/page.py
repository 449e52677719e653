"""Writes docs/scaling.md from the study's report, docs/scaling.json."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lab.experiments.study.figures import rate_label

# Speed-ups of the engine "ours" on the most nodes over one, by Mbit/s.
CLAIMED_SPEEDUPS = {10.0: 1.5, 100.0: 2.5, 1000.0: 3.2}


def write_page(report: dict, path: Path) -> None:
    """Writes the page.

    Args:
        report: The content of scaling.json.
        path: The file that is written.
    """
    loader = FileSystemLoader(Path(__file__).parent)
    template = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=False).get_template("page.md.j2")
    checked = claims(report)
    values = {
        "claims": checked, "all_hold": all(claim["holds"] for claim in checked), "variations": variations(report),
        "least_links": least_links_table(report), "rate": rate_label, "report": report,
    }  # fmt: skip
    path.write_text(template.render(values))


def claims(report: dict) -> list[dict]:
    """What the study was to show, each with the measured value and whether it holds."""
    regime = next(name for name, about in report["regimes"].items() if about["cpus_each"])
    runs = {
        (run["engine"], run["nodes"], run["bandwidth_mbit"]): run for run in report["runs"] if run["regime"] == regime
    }
    most, slow = max(nodes for _, nodes, _ in runs), min(mbit for *_, mbit in runs if mbit)
    reference = report["reference"]
    alone, together = (runs[reference, nodes, mbit]["seconds_to_bleu"] for nodes, mbit in ((1, 0.0), (most, slow)))
    checked = [{
        "claim": f"*{reference}* is slower on {most} nodes than on 1 at {rate_label(slow)}",
        "measured": f"{together or float('nan'):.0f} s against {alone or float('nan'):.0f} s",
        "holds": bool(alone and together and together > alone),
    }]  # fmt: skip
    for mbit, least in CLAIMED_SPEEDUPS.items():
        if (run := runs.get(("ours", most, mbit))) is not None:
            speedup = run["speedup"] or 0.0
            claim = f"*ours* is faster on {most} nodes than on 1 by {least} times at {rate_label(mbit)}"
            checked.append({"claim": claim, "measured": f"{speedup:.2f}{_spread(run)}", "holds": speedup >= least})
    return checked


def _spread(run: dict) -> str:
    return " ({:.2f}-{:.2f})".format(*run["speedup_spread"]) if run["speedup_spread"] else ""


def variations(report: dict) -> list[dict]:
    """The runs of all engines at the variations' nodes and bandwidth, in the first regime."""
    regime, mbit = next(iter(report["regimes"])), report["variation_bandwidth_mbit"]
    nodes = report["variation_nodes"]
    return [
        run for run in report["runs"]
        if run["regime"] == regime and run["nodes"] in nodes
        and (run["nodes"] == 1 or run["bandwidth_mbit"] == mbit)
    ]  # fmt: skip


def least_links_table(report: dict) -> list[dict]:
    """A row for each engine, setting and exchange, with the smallest useful bandwidth by number of nodes."""
    rows: dict[tuple, dict] = {}
    for line in report["least_links"]:
        about = {name: line[name] for name in ("engine", "settings_for_mbit", "exchange")}
        rows.setdefault(tuple(about.values()), {**about, "nodes": {}})["nodes"][line["nodes"]] = line["least_mbit"]
    return list(rows.values())
