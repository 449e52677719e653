"""JSON objects that hold a photo's name and one or several captions, whatever the names of their fields."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jobs.driver.corpus.forms.caption import Caption, split_name
from jobs.driver.corpus.forms.columns import Columns

TEXT_FIELDS = ("raw", "caption", "text", "sentence", "comment")


def fields_of(value: Any, columns: Columns, path: str) -> dict[str, str] | None:
    """The names of an object's fields by role; None if it is no object with a photo and captions.

    Raises:
        InputError: Several fields can be the captions.
    """
    if not isinstance(value, Mapping):
        return None
    names = list(value)
    places = columns.roles(names, [[str(value[name]) for name in names]], path)
    return None if places is None else {role: names[place] for role, place in places.items()}


def captions_of(value: Any, fields: Mapping[str, str], line: str) -> Iterator[Caption]:
    """The captions of one object; one row without a photo if it cannot be read."""
    image_id = value.get(fields["image"]) if isinstance(value, Mapping) else None
    if not isinstance(image_id, str | int) or isinstance(image_id, bool):
        yield Caption(None, None, None, None, line)
        return
    split = str(value.get(fields["split"]) or "") if "split" in fields else None
    for text in texts_of(value.get(fields["caption"])) or [None]:
        yield Caption(str(image_id).strip() or None, None, text, split_name(split), line)


def texts_of(value: Any) -> list[str | None]:
    """The texts of a field: a text, a list of texts, a list of objects with a text, or a list written as JSON."""
    if isinstance(value, str) and value.startswith("["):
        decoded = decoded_or_none(value)
        value = decoded if isinstance(decoded, list) and decoded else value
    if value is None:
        return []
    return [_text_of(item) for item in value] if isinstance(value, list) else [_text_of(value)]


def decoded_or_none(text: str) -> Any:
    """The value of a JSON text, or None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text_of(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = next((value[name] for name in TEXT_FIELDS if isinstance(value.get(name), str)), None)
    return value if isinstance(value, str) else None
