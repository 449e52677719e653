"""Attempts at a training run, and what they may write.

Every start of a gang is an attempt: a numbered file in the run folder, created exclusively. The newest attempt holds the
run, so whatever an older one still wants to write, after a pause or a lost network, is refused.
"""

from __future__ import annotations

import json
import re

from udfs import files

NAME = re.compile(r"(\d{6})\.json")


class Superseded(RuntimeError):
    """A newer attempt holds the run; this one must stop."""


def newest(folder: str) -> int:
    """The number of the newest attempt at the run in a folder (a URI); 0 before the first."""
    numbers = [int(match[1]) for name in files.names(f"{folder}/attempts") if (match := NAME.fullmatch(name))]
    return max(numbers, default=0)


def begin(folder: str, after: int, who: dict) -> int:
    """Starts the next attempt and returns its number. Raises Superseded where somebody else began one after `after`."""
    try:
        files.create_bytes(attempt_file(folder, after + 1), json.dumps(who).encode())
    except FileExistsError as error:
        raise Superseded(f"attempt {after + 1} at {folder} was begun by {read(folder, after + 1)}") from error
    return after + 1


def read(folder: str, number: int) -> dict:
    """What the beginner of an attempt said of itself."""
    return json.loads(files.read_bytes(attempt_file(folder, number)))


def attempt_file(folder: str, number: int) -> str:
    return f"{folder}/attempts/{number:06d}.json"


class RunWriter:
    """Writes files of a run for one attempt, as long as that is the newest.

    The check comes right before the move into place. A process that is stopped just between the two can still finish that
    one move; so files that a later attempt reads back carry the attempt's number in their names.
    """

    def __init__(self, folder: str, attempt: int):
        self.folder, self.attempt = folder, attempt

    def require_newest(self) -> None:
        """Raises Superseded where a newer attempt holds the run."""
        current = newest(self.folder)
        if current > self.attempt:
            raise Superseded(f"attempt {self.attempt} at {self.folder} may not write: attempt {current} holds the run")

    def write_bytes(self, name: str, content: bytes) -> None:
        files.write_bytes(f"{self.folder}/{name}", content, before_move=self.require_newest)

    def write_text(self, name: str, text: str) -> None:
        self.write_bytes(name, text.encode())
