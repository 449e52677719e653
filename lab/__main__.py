"""`python -m lab`: the laboratory as a command. Exit codes are the jobs': 0 done, 2 something to mend, 1 anything else."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import traceback
from dataclasses import asdict

from lab.cluster import network, state
from lab.cluster import spark as cluster
from lab.cluster.laboratory import Laboratory, is_broken, take_down
from lab.cluster.settings import describe, load
from udfs.errors import InputError


def up(arguments: argparse.Namespace) -> None:
    settings = load(arguments.config, arguments.overrides)
    found = state.read(settings.name)
    if found and found.owner is None and found.settings == asdict(settings) and not is_broken(found):
        say(f"{settings.name} is up already, as it should be")
    else:
        Laboratory(settings).up(keep=True)
    print(json.dumps(Laboratory.attach(settings.name).status()))


def down(arguments: argparse.Namespace) -> None:
    found = state.read(arguments.name)
    if found is None:
        say(f"found no laboratory {arguments.name!r}; nothing to take down")
    else:
        take_down(found)


def status(arguments: argparse.Namespace) -> None:
    print(json.dumps(Laboratory.attach(arguments.name).status(), indent=2))


def run(arguments: argparse.Namespace) -> None:
    """Becomes spark-submit on the head."""
    laboratory = Laboratory.attach(arguments.name)
    become(laboratory, "head", cluster.submit_command(laboratory, *arguments.command))


def execute(arguments: argparse.Namespace) -> None:
    become(Laboratory.attach(arguments.name), arguments.node, arguments.command)


def become(laboratory: Laboratory, name: str, command: list[str]) -> None:
    host = laboratory.host(name)
    inside = laboratory.command(host, *command)
    os.execvpe(inside[0], inside, laboratory.environment(host))


def cut(arguments: argparse.Namespace) -> None:
    laboratory = Laboratory.attach(arguments.name)
    with laboratory.cut(laboratory.host(arguments.node)):
        say(f"{arguments.node} is cut off for {arguments.seconds:g} s")
        time.sleep(arguments.seconds)


def heal(arguments: argparse.Namespace) -> None:
    laboratory = Laboratory.attach(arguments.name)
    network.set_link(laboratory.host(arguments.node), laboratory.switch, up=True)


def say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="up|run|exec|cut|heal|status|down")
    starting = verbs.add_parser(
        "up", help="make a laboratory", epilog=f"keys, defaults and meanings:\n{describe()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    starting.add_argument("--config", metavar="FILE", help="YAML file of the laboratory, such as lab/cluster/lab.yaml")
    starting.add_argument("overrides", nargs="*", metavar="key=value")
    starting.set_defaults(work=up)
    helps = {
        run: "spark-submit on the head: run -- jobs/train.py --config FILE key=value",
        execute: "run a command on a host: exec node1 -- COMMAND",
        cut: "pull a host's cable for some seconds: cut node2 --seconds 5",
        heal: "plug it in again, where a cut was killed",
        status: "hosts, links with nominal and measured rates, traffic, Spark's workers",
        down: "remove all of it",
    }
    found = {work: verbs.add_parser("exec" if work is execute else work.__name__, help=helps[work]) for work in helps}
    for work, verb in found.items():
        verb.add_argument("--name", default="lab", help="name of the laboratory (default: lab)")
        verb.set_defaults(work=work)
    for work in (execute, cut, heal):
        found[work].add_argument("node")
    found[cut].add_argument("--seconds", type=float, required=True)
    for work in (run, execute):
        found[work].add_argument("command", nargs="+")
    return parser.parse_args(words)


def main() -> None:
    arguments = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `up` and `cut` clear up after themselves
    try:
        arguments.work(arguments)
    except InputError as error:
        say(" ".join(str(error).split()))
        sys.exit(2)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


if __name__ == "__main__":
    main()
