"""Karpathy's `dataset_*.json`: images with a split and sentences. The split `restval` counts as train.

{"images": [{"filename": "x.jpg", "split": "restval", "sentences": [{"raw": "A child in a pink dress"}]}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from jobs.driver.corpus.forms.caption import Caption, Head
from jobs.driver.corpus.forms.columns import Columns
from jobs.driver.corpus.forms.json_values import captions_of
from udfs.errors import InputError

FIELDS = {"image": "filename", "caption": "sentences", "split": "split"}


@dataclass(frozen=True)
class Karpathy:
    """Karpathy's splits of Flickr8k, Flickr30k or COCO."""

    description: ClassVar[str] = "Karpathy's dataset JSON, with its splits"
    by_line: ClassVar[bool] = False
    numbered: ClassVar[bool] = False
    has_splits: ClassVar[bool] = True

    def parse(self, lines: Iterable[str]) -> Iterator[Caption]:
        document = json.loads("".join(lines))
        images = document.get("images") if isinstance(document, dict) else None
        if not isinstance(images, list):
            raise InputError("corpus.captions: found no list 'images' in Karpathy's dataset JSON; check the file")
        for number, image in enumerate(images):
            name = image.get("filename") if isinstance(image, dict) else None
            for caption in captions_of(image, FIELDS, ""):
                yield caption._replace(line=f"image {number} {name}: {caption.text or ''}")


def detect(head: Head, columns: Columns) -> Karpathy | None:
    is_karpathy = '"sentences"' in head.text and '"images"' in head.text and '"filename"' in head.text
    return Karpathy() if is_karpathy and head.text.lstrip().startswith("{") and not columns.by_hand else None
