"""COCO's captions: `images` with ids and file names, and `annotations` with captions of an image id.

    {"images": [{"id": 9, "file_name": "000000000009.jpg"}],
     "annotations": [{"id": 1, "image_id": 9, "caption": "A plate of food"}]}

An image that is listed twice counts once. Ids may be numbers or texts.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from jobs.driver.corpus.forms.caption import Caption, Head
from jobs.driver.corpus.forms.columns import Columns
from udfs.errors import InputError


@dataclass(frozen=True)
class Coco:
    """A COCO captions file. An annotation that is repeated has the number of the first one, so that it is refused."""

    description: ClassVar[str] = "COCO captions"
    by_line: ClassVar[bool] = False
    numbered: ClassVar[bool] = True
    has_splits: ClassVar[bool] = False

    def parse(self, lines: Iterable[str]) -> Iterator[Caption]:
        document = json.loads("".join(lines))
        images, annotations = (_objects(document, key) for key in ("images", "annotations"))
        names: dict[str, set[str]] = defaultdict(set)
        for image in images:
            names[str(image.get("id"))].add(str(image.get("file_name") or ""))
        numbers: dict[str, dict[str, int]] = defaultdict(dict)
        for place, annotation in enumerate(annotations):
            photo, key = str(annotation.get("image_id")), str(annotation.get("id", f"place {place}"))
            text = annotation.get("caption")
            text = text if isinstance(text, str) else None
            number = numbers[photo].setdefault(key, len(numbers[photo]))
            (name,) = names[photo] if len(names.get(photo, ())) == 1 else ("",)
            yield Caption(name or None, number, text, None, f"annotation {key}: {text or ''}")


def detect(head: Head, columns: Columns) -> Coco | None:
    is_coco = head.text.lstrip().startswith("{") and ('"annotations"' in head.text or '"images"' in head.text)
    return Coco() if is_coco and not columns.by_hand else None


def _objects(document: Any, key: str) -> list[dict[str, Any]]:
    objects = document.get(key) if isinstance(document, dict) else None
    if not isinstance(objects, list) or not all(isinstance(item, dict) for item in objects):
        raise InputError(
            f"corpus.captions: not a COCO captions file: found no list {key!r} of objects, expected images and annotations; "
            "check the file"
        )
    if key == "annotations" and objects and not any("caption" in item for item in objects):
        raise InputError(
            "corpus.captions: the annotations have no captions, expected COCO's captions_*.json; check the file"
        )
    return objects
