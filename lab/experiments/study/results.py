"""Results as they come: one JSON line each, appended at once, so that a study goes on where it was stopped."""

from __future__ import annotations

import json
from pathlib import Path


class Results:
    """The lines of a file, known by some of their values."""

    def __init__(self, path: Path, keys: tuple[str, ...]):
        self.path, self.keys = path, keys
        path.parent.mkdir(parents=True, exist_ok=True)
        self.lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def has(self, **values) -> bool:
        return any(all(line[key] == values[key] for key in self.keys) for line in self.lines)

    def add(self, line: dict) -> None:
        self.lines.append(line)
        with self.path.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
