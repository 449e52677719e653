"""Photos of a corpus as small data URIs. Their files are untrusted, and so are their names."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

from conf.schema import Corpus
from jobs.driver.spark.hadoop_files import HadoopFiles
from udfs.vision.decode import PhotoLimits, PhotoRefused, thumbnail

SIDE = 320  # pixels of a thumbnail's longer side: a phone's width
LEAVES_FOLDER = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|\x00")


def thumbnails(storage: HadoopFiles, folder: str, names: Iterable[str], corpus: Corpus) -> dict[str, str]:
    """{image_id: data URI} of the photos below a folder that can be shown; the others are left out."""
    limits = PhotoLimits(corpus.max_pixels, corpus.min_side, corpus.convert)
    found = {}
    for name in dict.fromkeys(names):
        if LEAVES_FOLDER.search(name):
            continue
        try:
            content = storage.read_bytes(f"{folder}/{name}", corpus.max_bytes + 1)
            if len(content) <= corpus.max_bytes:
                found[name] = data_uri(thumbnail(content, limits, SIDE), "image/jpeg")
        except (OSError, PhotoRefused):  # gone or changed since its feature was computed
            continue
    return found


def data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
