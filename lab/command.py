"""What the laboratory's commands share: their help, their messages and their exit codes."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import traceback
from collections.abc import Callable

from conf.keys import describe
from jobs.driver.spark.console import log_to_stderr
from udfs.errors import InputError, message_line

log = logging.getLogger("lab")


def run_command(name: str, work: Callable[[], None]) -> None:
    """Runs a command and ends the process: exit code 0 for success, 2 for wrong input, 1 for any other error.

    SIGTERM ends the process with exit code 143, after `finally` blocks and context managers.

    Args:
        name: The command's module, which messages on standard error begin with.
        work: The command; takes no arguments.
    """
    log_to_stderr()
    log.setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        work()
    except InputError as error:
        logging.getLogger(name).error(message_line(error))
        sys.exit(2)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def with_keys(kind: type) -> dict:
    """Options of an argument parser whose help ends with all keys of a configuration class."""
    return {
        "epilog": f"keys, defaults and meanings:\n{describe(kind)}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def file_and_overrides(program: str, description: str | None, kind: type) -> argparse.ArgumentParser:
    """The parser of `python -m PROGRAM FILE [key=value ...]`."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description, **with_keys(kind))
    parser.add_argument("file", metavar="FILE", help="YAML file with settings")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that override the file's")
    return parser
