"""Attempts at training a run, which fence off writers that are no longer in charge.

Every start of a gang is an attempt: a numbered file in the run folder, which is created exclusively. The newest attempt holds
the run. Writes of an older attempt, after a pause or a network failure, are refused.
"""

from __future__ import annotations

import json
import re
from typing import Any

from udfs import files
from udfs.run_folder import RunFolder

NAME = re.compile(r"(\d{6})\.json")


class Superseded(RuntimeError):
    """A newer attempt holds the run, so this one must stop."""


def newest(folder: RunFolder) -> int:
    """The number of the newest attempt; 0 before the first."""
    numbers = [int(match[1]) for name in files.names(folder.attempts) if (match := NAME.fullmatch(name))]
    return max(numbers, default=0)


def begin(folder: RunFolder, after: int, holder: dict[str, Any]) -> int:
    """Starts the attempt that follows `after` and returns its number.

    Args:
        holder: JSON values that describe who holds the attempt.

    Raises:
        Superseded: If another process has started that attempt.
    """
    try:
        files.create_bytes(folder.attempt(after + 1), json.dumps(holder).encode())
    except FileExistsError as error:
        raise Superseded(f"attempt {after + 1} at {folder.uri} was started by {read(folder, after + 1)}") from error
    return after + 1


def read(folder: RunFolder, number: int) -> dict[str, Any]:
    """The holder of an attempt, as it described itself."""
    holder: dict[str, Any] = json.loads(files.read_bytes(folder.attempt(number)))
    return holder


class RunWriter:
    """Writes files of a run for one attempt, as long as that attempt is the newest.

    The check comes right before the move into place. A process that is stopped between the two can still complete that one
    move. So files that a later attempt reads have the attempt's number in their names.
    """

    def __init__(self, folder: RunFolder, attempt: int):
        self.folder, self.attempt = folder, attempt

    def require_newest(self) -> None:
        """Raises Superseded if a newer attempt holds the run."""
        current = newest(self.folder)
        if current > self.attempt:
            raise Superseded(
                f"attempt {self.attempt} at {self.folder.uri} may not write: attempt {current} holds the run"
            )

    def write_bytes(self, uri: str, content: bytes) -> None:
        files.write_bytes(uri, content, before_move=self.require_newest)

    def write_text(self, uri: str, text: str) -> None:
        self.write_bytes(uri, text.encode())
