"""JSON lines: an object with a photo and a caption, or a list of captions, on each line.

{"file_name": "1000268201_693b08cb0e.jpg", "text": "A child in a pink dress"}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from jobs.driver.corpus.forms.caption import Caption, Head
from jobs.driver.corpus.forms.columns import ROLES, Columns
from jobs.driver.corpus.forms.json_values import captions_of, decoded_or_none, fields_of


@dataclass(frozen=True)
class JsonLines:
    """JSON lines with fields by role. The order of a photo's captions numbers them."""

    fields: dict[str, str]
    by_line: ClassVar[bool] = True
    numbered: ClassVar[bool] = False

    @property
    def description(self) -> str:
        return "JSON lines, fields " + ", ".join(f"{role}={self.fields[role]}" for role in ROLES if role in self.fields)

    @property
    def has_splits(self) -> bool:
        return "split" in self.fields

    def parse(self, lines: Iterable[str]) -> Iterator[Caption]:
        for line in lines:
            if line.strip():
                yield from captions_of(_decoded(line), self.fields, line)


def detect(head: Head, columns: Columns) -> JsonLines | None:
    for line in head.lines[:20]:
        if fields := fields_of(_decoded(line), columns, head.path):
            return JsonLines(fields)
    return None


def _decoded(line: str) -> Any:
    return decoded_or_none(line) if line.lstrip().startswith("{") else None
