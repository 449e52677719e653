"""Measures training time against nodes and bandwidth, and writes the report.

python -m lab.experiments.study lab/experiments/study.yaml [--only PART] [key=value ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from lab.command import file_and_overrides, run_command
from lab.experiments.study.cells import CELLS, measure_cells
from lab.experiments.study.contention import CONTENTION, measure_contention
from lab.experiments.study.faults import FAULT_TRAININGS, measure_faults
from lab.experiments.study.figures import draw_all
from lab.experiments.study.page import write_page
from lab.experiments.study.report import Measurements, write_report
from lab.experiments.study.settings import Study, read_study
from lab.experiments.study.trajectories import TRAJECTORIES, measure_trajectories

PROGRAM = "lab.experiments.study"


def report(study: Study) -> None:
    """Writes docs/scaling.json, the figures and docs/scaling.md from the measurements."""
    measurements = Measurements(
        trajectories=TRAJECTORIES.read(study.results_folder).lines,
        cells=CELLS.read(study.results_folder).lines,
        contention=CONTENTION.read(study.results_folder).lines,
        faults=FAULT_TRAININGS.read(study.results_folder).lines,
    )
    figures, page = write_report(study, measurements), Path(study.docs) / "scaling.md"
    draw_all(figures, study.results_folder)
    write_page(figures, page)
    print(page)


PARTS: dict[str, Callable[[Study], object]] = {
    "trajectories": measure_trajectories,
    "cells": measure_cells,
    "contention": measure_contention,
    "faults": measure_faults,
    "report": report,
}


def run_parts(arguments: argparse.Namespace) -> None:
    study = read_study(arguments.file, arguments.overrides)
    for name, part in PARTS.items():
        if name in (arguments.only or PARTS):
            part(study)


def main() -> None:
    parser = file_and_overrides(PROGRAM, __doc__, Study)
    parser.add_argument("--only", action="append", choices=PARTS, help="run this part only; may be repeated")
    arguments = parser.parse_intermixed_args()
    run_command(PROGRAM, lambda: run_parts(arguments))


if __name__ == "__main__":
    main()
