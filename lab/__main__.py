"""Creates a virtual cluster with limited links, runs programs in it, and removes it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict

from lab.cluster import network, spark, state
from lab.cluster.laboratory import Laboratory
from lab.cluster.removal import is_broken, take_down
from lab.cluster.settings import LaboratorySettings, load_settings
from lab.command import log, run_command, with_keys

HELPS = {
    "up": "create a laboratory",
    "run": "spark-submit on the head: run -- jobs/train.py --config FILE key=value",
    "exec": "run a command on a host: exec node1 -- COMMAND",
    "cut": "disconnect a host for some seconds: cut node2 --seconds 5",
    "heal": "connect a host again if `cut` was killed",
    "status": "show hosts, links with nominal and measured rates, traffic, and Spark's workers",
    "down": "remove a laboratory",
}


def up(arguments: argparse.Namespace) -> None:
    settings = load_settings(arguments.config, arguments.overrides)
    saved = state.read(settings.name)
    if saved and saved.owner is None and saved.settings == asdict(settings) and not is_broken(saved):
        log.info(f"{settings.name} is up already with these settings")
    else:
        Laboratory(settings).up(keep=True)
    print(json.dumps(Laboratory.attach(settings.name).status()))


def down(arguments: argparse.Namespace) -> None:
    saved = state.read(arguments.name)
    if saved is None:
        log.info(f"found no laboratory {arguments.name!r}; nothing to take down")
    else:
        take_down(saved)


def status(arguments: argparse.Namespace) -> None:
    print(json.dumps(Laboratory.attach(arguments.name).status(), indent=2))


def run(arguments: argparse.Namespace) -> None:
    laboratory = Laboratory.attach(arguments.name)
    _become(laboratory, "head", spark.submit_command(laboratory.hosts, *arguments.command))


def execute(arguments: argparse.Namespace) -> None:
    _become(Laboratory.attach(arguments.name), arguments.node, arguments.command)


def _become(laboratory: Laboratory, name: str, command: list[str]) -> None:
    """Replaces this process by a command on a host."""
    host = laboratory.hosts.named(name)
    inside = laboratory.hosts.command(host, *command)
    os.execvpe(inside[0], inside, laboratory.hosts.environment(host))


def cut(arguments: argparse.Namespace) -> None:
    laboratory = Laboratory.attach(arguments.name)
    with laboratory.cut(laboratory.hosts.named(arguments.node)):
        log.info(f"{arguments.node} is disconnected for {arguments.seconds:g} s")
        time.sleep(arguments.seconds)


def heal(arguments: argparse.Namespace) -> None:
    hosts = Laboratory.attach(arguments.name).hosts
    network.set_link(hosts.named(arguments.node), hosts.switch, up=True)


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description=__doc__,
        epilog="Exit codes: 0 for success, 2 for wrong settings or a missing part of the machine, 1 for any other error.",
    )
    verbs = parser.add_subparsers(required=True, metavar="|".join(HELPS))
    parsers = {
        name: verbs.add_parser(name, help=text, **(with_keys(LaboratorySettings) if name == "up" else {}))
        for name, text in HELPS.items()
    }
    commands = {"up": up, "run": run, "exec": execute, "cut": cut, "heal": heal, "status": status, "down": down}
    for name, command in commands.items():
        parsers[name].set_defaults(work=command)
        if name != "up":
            parsers[name].add_argument("--name", default="lab", help="name of the laboratory (default: lab)")
    parsers["up"].add_argument("--config", metavar="FILE", help="YAML file with settings, such as lab/cluster/lab.yaml")
    parsers["up"].add_argument("overrides", nargs="*", metavar="key=value", help="settings that override the file's")
    for name in ("exec", "cut", "heal"):
        parsers[name].add_argument("node")
    parsers["cut"].add_argument("--seconds", type=float, required=True)
    for name in ("run", "exec"):
        parsers[name].add_argument("command", nargs="+")
    return parser.parse_args(words)


def main() -> None:
    arguments = parse(sys.argv[1:])
    run_command("lab", lambda: arguments.work(arguments))


if __name__ == "__main__":
    main()
