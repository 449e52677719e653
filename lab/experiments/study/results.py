"""Files of results: one JSON line each, written as soon as it is measured, so that a study can be continued."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


class Results:
    """The lines of a file.

    Args:
        path: The file, which is created with the first line.
        keys: The values that identify a line.
    """

    def __init__(self, path: Path, keys: tuple[str, ...]):
        self.path, self.keys = path, keys
        path.parent.mkdir(parents=True, exist_ok=True)
        self.lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def has(self, **values) -> bool:
        """Whether there is a line with these values of the keys; other values are ignored."""
        return any(all(line[key] == values[key] for key in self.keys) for line in self.lines)

    def add(self, line: dict) -> None:
        """Appends a line to the file and prints it."""
        self.lines.append(line)
        with self.path.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


@dataclass(frozen=True)
class ResultsFile:
    """The name of a file of results, and the values that identify its lines."""

    name: str
    keys: tuple[str, ...]

    def read(self, folder: Path) -> Results:
        """The results so far in a folder."""
        return Results(folder / self.name, self.keys)
