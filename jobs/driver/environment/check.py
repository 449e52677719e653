"""The result of one check of the environment."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from udfs.errors import InputError

Verdict = Literal["ok", "warning", "error"]
LEVELS = {"ok": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: What was checked; a configuration key or an environment variable where one decides it.
        verdict: `ok`; `warning` if jobs can run but results or files may be missing; `error` if jobs cannot run.
        found: What was found, on one line.
        advice: What to do; empty if all is well.
    """

    name: str
    verdict: Verdict
    found: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.name}: found {self.found}" + (f"; {self.advice}" if self.advice else "")


def require_no_errors(checks: Sequence[Check], log: logging.Logger) -> None:
    """Logs the warnings among the checks.

    Raises:
        InputError: If there are errors; the message has all of them.
    """
    for check in checks:
        if check.verdict == "warning":
            log.warning(str(check))
    if errors := [str(check) for check in checks if check.verdict == "error"]:
        raise InputError(" | ".join(errors))
