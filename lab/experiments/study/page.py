"""docs/scaling.md: the study's report as a page, written from docs/scaling.json alone."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lab.experiments.study.figures import rate

# Speed-ups of the engine "ours" on the most nodes over one, by Mbit/s.
WANTED = {10.0: 1.5, 100.0: 2.5, 1000.0: 3.2}


def write_page(report: dict, path: Path) -> None:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=False
    )
    page = environment.get_template("page.md.j2")
    found = {"claims": claims(report), "variations": variations(report), "least_links": least_links(report)}
    all_hold = all(claim["holds"] for claim in found["claims"])
    path.write_text(page.render(report=report, rate=rate, all_hold=all_hold, **found))


def claims(report: dict) -> list[dict]:
    """What the study was to show, each with what was found."""
    regime = next(name for name, about in report["regimes"].items() if about["cpus_each"])
    runs = {
        (run["engine"], run["nodes"], run["bandwidth_mbit"]): run for run in report["runs"] if run["regime"] == regime
    }
    most, slow = max(nodes for _, nodes, _ in runs), min(rate for *_, rate in runs if rate)
    reference = report["reference"]
    alone, together = (runs[reference, nodes, mbit]["seconds_to_bleu"] for nodes, mbit in ((1, 0.0), (most, slow)))
    found = [{
        "claim": f"*{reference}* is slower on {most} nodes than on 1 at {rate(slow)}",
        "found": f"{together or float('nan'):.0f} s against {alone or float('nan'):.0f} s",
        "holds": bool(alone and together and together > alone),
    }]  # fmt: skip
    for mbit, least in WANTED.items():
        if (run := runs.get(("ours", most, mbit))) is not None:
            speedup = run["speedup"] or 0.0
            claim = f"*ours* is faster on {most} nodes than on 1 by {least} times at {rate(mbit)}"
            found.append({"claim": claim, "found": f"{speedup:.2f}{spread_of(run)}", "holds": speedup >= least})
    return found


def spread_of(run: dict) -> str:
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


def least_links(report: dict) -> list[dict]:
    """A row for each engine, setting and exchange, with the narrowest link that pays by number of nodes."""
    rows: dict[tuple, dict] = {}
    for line in report["least_links"]:
        about = {key: line[key] for key in ("engine", "settings_for_mbit", "exchange")}
        rows.setdefault(tuple(about.values()), {**about, "nodes": {}})["nodes"][line["nodes"]] = line["least_mbit"]
    return list(rows.values())
