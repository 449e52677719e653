"""JSON documents of two more kinds: a list of objects, and a mapping from photos to captions.

[{"image": "1000268201_693b08cb0e.jpg", "caption": "A child in a pink dress"}]
{"1000268201_693b08cb0e.jpg": ["A child in a pink dress", "A girl on the stairs"]}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from jobs.driver.corpus.forms.caption import PICTURE, Caption, Head
from jobs.driver.corpus.forms.columns import ROLES, Columns
from jobs.driver.corpus.forms.json_values import captions_of, fields_of, texts_of

FIRST_KEY_IS_A_PICTURE = re.compile(rf'\s*\{{\s*"[^"]*{PICTURE}"\s*:', re.IGNORECASE)


@dataclass(frozen=True)
class JsonList:
    """A JSON list of objects with fields by role."""

    fields: dict[str, str]
    by_line: ClassVar[bool] = False
    numbered: ClassVar[bool] = False

    @property
    def description(self) -> str:
        return "JSON list, fields " + ", ".join(f"{role}={self.fields[role]}" for role in ROLES if role in self.fields)

    @property
    def has_splits(self) -> bool:
        return "split" in self.fields

    def parse(self, lines: Iterable[str]) -> Iterator[Caption]:
        for number, value in enumerate(value for text in lines for value in json.loads(text)):
            yield from captions_of(value, self.fields, f"object {number}: {json.dumps(value, ensure_ascii=False)}")


@dataclass(frozen=True)
class JsonMapping:
    """A JSON object whose keys are photos and whose values are captions."""

    description: ClassVar[str] = "JSON mapping from photos to captions"
    by_line: ClassVar[bool] = False
    numbered: ClassVar[bool] = False
    has_splits: ClassVar[bool] = False

    def parse(self, lines: Iterable[str]) -> Iterator[Caption]:
        for name, value in ((name, value) for text in lines for name, value in json.loads(text).items()):
            for text in texts_of(value) or [None]:
                yield Caption(name, None, text, None, f"{name}: {text}")


def detect(head: Head, columns: Columns) -> JsonList | JsonMapping | None:
    text = head.text.lstrip()
    if FIRST_KEY_IS_A_PICTURE.match(text) and not columns.by_hand:
        return JsonMapping()
    if not text.startswith("["):
        return None
    try:
        first, _ = json.JSONDecoder().raw_decode(text[1:].lstrip())
    except (ValueError, RecursionError):
        return None
    fields = fields_of(first, columns, head.path)
    return JsonList(fields) if fields else None
