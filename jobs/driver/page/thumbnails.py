"""Photos of a corpus as small data URIs. The files and their names are untrusted."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Protocol

from conf.schema import Corpus
from udfs.vision.decode import PhotoLimits, PhotoRefused, thumbnail

SIDE = 320  # pixels of a thumbnail's longer side, about the width of a phone
LEAVES_FOLDER = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|\x00")


class PhotoFiles(Protocol):
    """What reads photos: `HadoopFiles`, for example."""

    def read_bytes(self, path: str, most: int) -> bytes:
        """Returns the first `most` bytes of a file. Raises OSError if it cannot be read."""


def thumbnails(storage: PhotoFiles, folder: str, names: Iterable[str], corpus: Corpus) -> dict[str, str]:
    """Makes thumbnails of photos; leaves out those that cannot be read or decoded, and names that leave the folder.

    Args:
        storage: Reads the files.
        folder: The folder of the photos.
        names: image_id of the photos.
        corpus: The section `corpus` of the configuration, which limits what is decoded.

    Returns:
        {image_id: data URI of a JPEG}.
    """
    limits = PhotoLimits(corpus.max_pixels, corpus.min_side)
    uris = {}
    for name in dict.fromkeys(names):
        if LEAVES_FOLDER.search(name):
            continue
        try:
            content = storage.read_bytes(f"{folder}/{name}", corpus.max_bytes + 1)
            if len(content) <= corpus.max_bytes:
                uris[name] = data_uri(thumbnail(content, limits, SIDE), "image/jpeg")
        except (OSError, PhotoRefused):  # deleted or changed since its feature was computed
            continue
    return uris


def data_uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
