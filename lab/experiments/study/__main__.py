"""Measures training time against nodes and bandwidth, and draws what came of it.

python -m lab.experiments.study lab/experiments/study.yaml [--only PART] [key=value ...]
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from lab.experiments.study.cells import KEYS as CELL_KEYS
from lab.experiments.study.cells import measure_cells
from lab.experiments.study.crowd import KEYS as CROWD_KEYS
from lab.experiments.study.crowd import measure_crowd
from lab.experiments.study.faults import KEYS as FAULT_KEYS
from lab.experiments.study.faults import measure_faults
from lab.experiments.study.figures import draw_all
from lab.experiments.study.page import write_page
from lab.experiments.study.report import write_report
from lab.experiments.study.results import Results
from lab.experiments.study.settings import Study, read_study
from lab.experiments.study.trajectories import KEYS as TRAJECTORY_KEYS
from lab.experiments.study.trajectories import measure_trajectories
from udfs.errors import InputError

PARTS = ("trajectories", "cells", "crowd", "faults", "report")

KEYS = {"trajectories": TRAJECTORY_KEYS, "cells": CELL_KEYS, "crowd": CROWD_KEYS, "faults": FAULT_KEYS}


def report(study: Study) -> None:
    lines = [Results(study.measured / f"{part}.jsonl", keys).lines for part, keys in KEYS.items()]
    found, docs = write_report(study, *lines), Path(study.docs)
    draw_all(found, study.measured)
    write_page(found, docs / "scaling.md")
    print(docs / "scaling.md")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.experiments.study", description=__doc__)
    parser.add_argument("study", metavar="FILE", help="YAML file such as lab/experiments/study.yaml")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part alone; may be said again")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    arguments = parser.parse_intermixed_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the laboratory goes too
    work = {
        "trajectories": measure_trajectories, "cells": measure_cells, "crowd": measure_crowd, "faults": measure_faults,
        "report": report,
    }  # fmt: skip
    try:
        study = read_study(arguments.study, arguments.overrides)
        for part in PARTS:
            if part in (arguments.only or PARTS):
                work[part](study)
    except InputError as error:
        print(f"lab.experiments.study: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
