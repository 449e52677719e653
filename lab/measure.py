"""`python -m lab.measure [STUDY] [key=value ...]`: what training costs on narrow links, and what a pulled cable does.

STUDY is a YAML file like lab/measure.yaml, which is the default. Each result is appended to FOLDER/results.jsonl as soon as
there is one, with the laboratory's nominal and measured rates beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lab.laboratory import Laboratory
from lab.observe import Observed, losses, resumed
from lab.settings import load
from udfs.errors import InputError

FLOWING_BYTES = 200_000  # more than heartbeats send in the seconds after a cut


@dataclass
class Study:
    command: list[str] = field(default_factory=list)
    always: list[str] = field(default_factory=list)
    settings: dict[str, list[str]] = field(default_factory=dict)
    bandwidths_mbit: list[float] = field(default_factory=list)
    seconds: float = 60.0
    laboratory: list[str] = field(default_factory=list)
    cuts_seconds: list[float] = field(default_factory=list)
    cut_bandwidth_mbit: float = 100.0
    cut_always: list[str] = field(default_factory=list)
    folder: str = "data/study"


def read_study(path: str, overrides: list[str]) -> Study:
    """Raises InputError where the file or an override cannot be used."""
    try:
        given = OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_dotlist(overrides))
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Study), given))
    except (OSError, OmegaConfBaseException) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}; see lab/measure.yaml") from error


class Measuring:
    """A study while it is measured."""

    def __init__(self, study: Study):
        self.study, self.folder = study, Path(study.folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)

    def rates(self) -> None:
        """Each of the settings at each bandwidth."""
        for bandwidth in self.study.bandwidths_mbit:
            with self._laboratory(bandwidth) as laboratory:
                for name, overrides in self.study.settings.items():
                    training = self._observe(laboratory, overrides)
                    found = training.pace(self.study.seconds)
                    training.end()
                    self._keep({"kind": "rate", "settings": name, "overrides": overrides}, laboratory, found)

    def cuts(self) -> None:
        """An undisturbed training, then the same with the last node's cable out for each of the times."""
        name, overrides = list(self.study.settings.items())[-1]
        overrides = [*overrides, *self.study.cut_always]
        quiet = None
        for seconds in [0.0, *self.study.cuts_seconds]:
            with self._laboratory(self.study.cut_bandwidth_mbit) as laboratory:
                found = (
                    self._cut(laboratory, overrides, seconds)
                    if seconds
                    else self._observe(laboratory, overrides).finish()
                )
                quiet = quiet or found
                found["seconds_lost"] = round(found["seconds"] - quiet["seconds"], 1)
                found["same_losses"] = losses(found) == losses(quiet)
                about = {"kind": "cut", "cut_seconds": seconds, "settings": name, "overrides": overrides}
                self._keep(about, laboratory, found)

    def _cut(self, laboratory: Laboratory, overrides: list[str], seconds: float) -> dict:
        """Pulls the cable when the second epoch has begun to send."""
        node, training = laboratory.nodes[-1], self._observe(laboratory, overrides)
        training.wait_until(lambda: bool(training.epochs))
        time.sleep(1)
        began = training.seconds()
        with laboratory.cut(node):
            training.wait_until(lambda: training.seconds() - began >= seconds)
        healed = training.seconds()
        found = training.finish()
        again = resumed(training.flow, node.name, healed, FLOWING_BYTES)
        return {**found, "cut_at": began, "healed_at": healed, "flowing_again_at": again}

    def _laboratory(self, bandwidth: float) -> Laboratory:
        return Laboratory(load(None, ["name=study", *self.study.laboratory, f"bandwidth_mbit={bandwidth}"]))

    def _observe(self, laboratory: Laboratory, overrides: list[str]) -> Observed:
        command = [*self.study.command, *self.study.always, *overrides]
        return Observed(laboratory, command, self.folder / "runs", f"lab-{os.urandom(4).hex()}")

    def _keep(self, about: dict, laboratory: Laboratory, found: dict) -> None:
        result = {**about, "links": laboratory.state.links, **found}
        with (self.folder / "results.jsonl").open("a") as stream:
            stream.write(json.dumps(result) + "\n")
        print(json.dumps({key: value for key, value in result.items() if key not in ("epochs", "said")}), flush=True)
        if found.get("exit_code"):
            print("\n".join(line for _, line in found["said"][-20:]), file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.measure", description=__doc__)
    parser.add_argument("--only", choices=("rates", "cuts"), help="measure only this")
    parser.add_argument("--study", default="lab/measure.yaml", metavar="FILE")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the laboratory goes too
    try:
        measuring = Measuring(read_study(arguments.study, arguments.overrides))
        for what in [arguments.only] if arguments.only else ["rates", "cuts"]:
            getattr(measuring, what)()
    except InputError as error:
        print(f"lab.measure: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
