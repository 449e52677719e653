"""What every form of caption file shares: a caption as it is read, the beginning of a file, and the form's interface."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

from udfs.errors import InputError
from udfs.vision.picture_formats import SUFFIXES

PICTURE = "(?:" + "|".join(re.escape(suffix) for suffix in sorted(SUFFIXES, key=len, reverse=True)) + ")"
IS_PICTURE = re.compile(rf"[^\t]*{PICTURE}\s*", re.IGNORECASE)
PICTURE_NAME = re.compile(rf"""[^"'\s,;|/\\#]+{PICTURE}(?![A-Za-z0-9])""", re.IGNORECASE)
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SPLIT_NAMES = {
    "training": "train", "trn": "train", "restval": "train", "val": "dev", "valid": "dev", "validation": "dev",
    "development": "dev", "eval": "test", "testing": "test", "tst": "test",
}  # fmt: skip
MANY_INVALID_LINES = 3


class Caption(NamedTuple):
    """A caption as it is in a file. A row that cannot be parsed has no image_id.

    Attributes:
        image_id: The photo's name, as the file has it.
        caption_no: The caption's number; None if the file has no numbers: then the order of the photo's captions counts.
        text: The caption.
        split: The split, if the file names one; otherwise None.
        line: The row as it is in the file, for the quarantine.
        joined: Whether the text holds delimiters that were not quoted. Such a row counts only if its photo is known.
    """

    image_id: str | None
    caption_no: int | None
    text: str | None
    split: str | None
    line: str
    joined: bool = False


class Form(Protocol):
    """A form of caption file with all that is needed to read one file, such as its delimiter and its columns.

    An instance is sent to executors, so it must be picklable.

    Attributes:
        description: The form and its columns, in words.
        by_line: Whether the file can be read line by line. Otherwise `parse` gets the whole text as one item.
        has_splits: Whether the file names the split of each photo.
        numbered: Whether the file numbers the captions of a photo.
    """

    @property
    def description(self) -> str: ...

    @property
    def by_line(self) -> bool: ...

    @property
    def has_splits(self) -> bool: ...

    @property
    def numbered(self) -> bool: ...

    def parse(self, lines: Iterable[str]) -> Iterator[Caption]:
        """Yields the captions of consecutive lines. Every line that is not blank yields a caption or is part of one."""


@dataclass(frozen=True)
class Head:
    """The beginning of a text file.

    Attributes:
        path: The file.
        text: The beginning of the text, without a byte order mark and an incomplete last line.
        encoding: A codec's name.
        line_end: The character that ends a line; a carriage return before a line feed is ignored.
    """

    path: str
    text: str
    encoding: str = "utf-8"
    line_end: str = "\n"

    @cached_property
    def lines(self) -> list[str]:
        """The lines that are not blank."""
        lines = (line.rstrip("\r") for line in self.text.split(self.line_end))
        return [line for line in lines if line.strip()]

    @cached_property
    def photo_names(self) -> set[str]:
        """Names of pictures in the text, without their folders."""
        return set(PICTURE_NAME.findall(self.text))


def head_of(path: str, content: bytes, complete: bool, encoding: str = "auto") -> Head:
    """Decodes the beginning of a file.

    Args:
        path: The file, for messages.
        content: Its first bytes.
        complete: Whether they are the whole file.
        encoding: A codec's name, or `auto`: byte order marks, UTF-16 without one, or UTF-8.

    Raises:
        InputError: The file is in another encoding.
    """
    codec = encoding_of(content) if encoding == "auto" else encoding
    try:
        text = codecs.getincrementaldecoder(codec)("replace").decode(content).removeprefix("\ufeff")
    except LookupError as error:
        raise InputError(f"corpus.encoding: found {encoding}, expected a codec of Python such as cp1252") from error
    line_end = "\r" if "\r" in text and "\n" not in text else "\n"
    if not complete:
        text = text.rpartition(line_end)[0] or text
    if codec == "utf-8":
        _require_utf8(path, content)
    return Head(path, text, codec, line_end)


def encoding_of(content: bytes) -> str:
    """The encoding of a text by its byte order mark or by its zero bytes; otherwise UTF-8."""
    for mark, codec in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return codec
    sample = content[:1000]
    if sample.count(0) * 4 > len(sample):  # UTF-16 without a mark: every second byte of ASCII text is zero
        return "utf-16-be" if sample[::2].count(0) > sample[1::2].count(0) else "utf-16-le"
    return "utf-8"


def decoded(content: bytes, encoding: str) -> str:
    """A whole text without its byte order mark. Bytes that are not valid become U+FFFD."""
    return content.decode(encoding, "replace").removeprefix("\ufeff")


def split_name(text: str | None) -> str | None:
    """The split that a word means: `dev` for valid, validation and val; None for nothing."""
    word = (text or "").strip().lower()
    return SPLIT_NAMES.get(word, word) or None


def text_lines(text: str) -> list[str]:
    """The lines of a whole text, which may end in line feeds, carriage returns or both."""
    line_end = "\r" if "\r" in text and "\n" not in text else "\n"
    return [line.rstrip("\r") for line in text.split(line_end)]


def _require_utf8(path: str, content: bytes) -> None:
    """Refuses a file most of whose lines beyond ASCII are not UTF-8; single broken lines are refused later."""
    lines = [line for line in content.splitlines()[:-1] if not line.isascii()]
    invalid = [line for line in lines if not _is_utf8(line)]
    if len(invalid) >= MANY_INVALID_LINES and 2 * len(invalid) >= len(lines):
        example = invalid[0].decode("cp1252", "replace").strip()[:80]
        raise InputError(
            f"corpus.encoding: {path} is not UTF-8; as Windows-1252 (latin-1) its first line beyond ASCII is "
            f"{example!r}; set corpus.encoding=cp1252 if that is right, or convert the file to UTF-8"
        )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
