"""Which column of a table, or which field of a JSON object, holds what: by its name, or by its values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.driver.corpus.forms.caption import IS_PICTURE
from udfs.errors import InputError

# The names in use, the most exact first. Of several columns for photos the one that holds names of pictures counts.
NAMES = {
    "image": (
        "file_name", "filename", "image_file", "image_filename", "image_name", "img_name", "image_path", "img_path", "filepath",
        "file_path", "file", "path", "image", "images", "img", "photo", "photo_name", "photo_id", "picture", "image_id", "img_id",
    ),
    "caption": (
        "caption", "captions", "comment", "comments", "text", "sentence", "sentences", "description", "descriptions", "raw",
        "caption_text", "utterance",
    ),
    "number": (
        "caption_number", "caption_no", "caption_num", "caption_index", "caption_idx", "comment_number", "comment_no",
        "sentence_number", "sentence_no", "sent_no", "number", "no", "caption_id", "comment_id", "sentence_id", "sentid",
    ),
    "split": ("split", "set", "subset", "partition", "phase"),
}  # fmt: skip
ROLES = tuple(NAMES)
HAS_LETTERS_WITHOUT_SPACES = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True)
class Columns:
    """The columns that the configuration names: {role: the column's name, or its number from 1 on}."""

    by_hand: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for role in self.by_hand:
            if role not in NAMES:
                raise InputError(f"corpus.columns: found {role!r}, expected {', '.join(ROLES)}; correct the key")

    def roles(self, names: Sequence[str], rows: Sequence[Sequence[str]], path: str) -> dict[str, int] | None:
        """The places of the columns by role; None unless there are both photos and captions.

        Args:
            names: The columns' names.
            rows: Some rows, to decide between several columns for photos.
            path: The file, for messages.

        Raises:
            InputError: Several columns can be the captions, or a column of the configuration does not exist.
        """
        places = {role: self._place(role, names, rows, path) for role in NAMES}
        found = {role: place for role, place in places.items() if place is not None}
        return found if {"image", "caption"} <= found.keys() else None

    def _place(self, role: str, names: Sequence[str], rows: Sequence[Sequence[str]], path: str) -> int | None:
        plain = [plain_name(name) for name in names]
        if role in self.by_hand:
            return place_of(self.by_hand[role], role, names, path)
        matching = sorted(
            (NAMES[role].index(name), place) for place, name in enumerate(plain) if name in NAMES[role] and place not in
            {place_of(name, other, names, path) for other, name in self.by_hand.items() if other != role}
        )  # fmt: skip
        if role == "caption" and len(matching) > 1:
            listed = ", ".join(names[place] for _, place in matching)
            raise InputError(
                f"corpus.columns: {path} has several columns that can be the captions ({listed}); "
                f"set corpus.columns.caption={names[matching[0][1]]} or another of them"
            )
        if role == "image" and len(matching) > 1:
            pictures = [(rank, place) for rank, place in matching if share(IS_PICTURE, column(rows, place)) > 0.5]
            matching = pictures or matching
        if role == "number":
            matching = [(rank, place) for rank, place in matching if share(r"\s*\d{1,9}\s*", column(rows, place)) > 0.5]
        return matching[0][1] if matching else None


def place_of(wanted: str, role: str, names: Sequence[str], path: str) -> int:
    """The place of a column that the configuration names by its name or its number."""
    plain = [plain_name(name) for name in names]
    if plain_name(wanted) in plain:
        return plain.index(plain_name(wanted))
    if wanted.isdecimal() and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    raise InputError(
        f"corpus.columns.{role}: found {wanted!r}, expected a column of {path}: {', '.join(map(str.strip, names))}"
    )


def plain_name(name: str) -> str:
    """A column's name in lower case with underscores: `image_name` for `Image Name` and `imageName`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip().strip("\"'\ufeff").strip())
    return re.sub(r"[\s\-]+", "_", words).lower()


def column(rows: Sequence[Sequence[str]], place: int) -> list[str]:
    """The values of a column in the rows that have it."""
    return [row[place] for row in rows if place < len(row)]


def share(pattern: str | re.Pattern[str], values: Sequence[str]) -> float:
    """The fraction of the values that a pattern matches entirely."""
    return sum(bool(re.fullmatch(pattern, value)) for value in values) / max(1, len(values))


def reads_as_text(values: Sequence[str]) -> bool:
    """Whether values are sentences and not labels: three words on average, or a script without spaces."""
    if not values:
        return False
    if any(HAS_LETTERS_WITHOUT_SPACES.search(value) for value in values):
        return True
    return sum(len(value.split()) for value in values) >= 2.5 * len(values)
