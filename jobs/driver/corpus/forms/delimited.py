"""Tables separated by commas, semicolons, tabs or `|`, with RFC 4180 quoting, with a header or without one.

    image,caption
    1000268201_693b08cb0e.jpg,"A child in a pink dress, on the stairs"

A quoted caption may hold line ends. A quote that is not closed costs its own row only: the row ends with its line as soon as one
of the next lines is a row by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from jobs.driver.corpus.forms.caption import IS_PICTURE, PICTURE, SPLIT_NAMES, Caption, Head
from jobs.driver.corpus.forms.columns import ROLES, Columns, column, plain_name, reads_as_text, share
from jobs.driver.corpus.forms.json_values import texts_of
from jobs.driver.corpus.forms.quoting import BrokenRow, split_row
from udfs.errors import InputError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "|"}
LONGEST_ROW = 50  # lines that a quoted caption may span
ENDS_WITH_PICTURE = re.compile(rf".*{PICTURE}(#\d+)?\s*", re.IGNORECASE)
SPLIT_WORD = r"(?i)\s*(train|dev|test|" + "|".join(SPLIT_NAMES) + r")\s*"


@dataclass(frozen=True)
class Delimited:
    """A table of captions.

    Attributes:
        delimiter: The character between columns.
        width: The number of columns.
        places: {role: place of its column}.
        header: The header's line, which is skipped; None if there is none.
        names: The columns' names, for the description.
    """

    delimiter: str
    width: int
    places: dict[str, int]
    header: str | None
    names: tuple[str, ...]
    by_line: ClassVar[bool] = True

    @property
    def description(self) -> str:
        columns = ", ".join(
            f"{role}={self.names[self.places[role]].strip() if self.header else self.places[role] + 1}"
            for role in ROLES
            if role in self.places
        )
        return f"table separated by {DELIMITERS[self.delimiter]}, {'columns' if self.header else 'no header, columns'} {columns}"

    @property
    def has_splits(self) -> bool:
        return "split" in self.places

    @property
    def numbered(self) -> bool:
        return "number" in self.places

    def parse(self, lines: Iterable[str]) -> Iterator[Caption]:
        opened: list[str] = []  # lines of a row whose quote is not closed yet
        for line in lines:
            if not opened and (not line.strip() or line == self.header):
                continue
            if opened and (self._is_row(line) or len(opened) == LONGEST_ROW):
                yield from self._give_up(opened)
                opened = []
                if not line.strip():
                    continue
            opened.append(line)
            row = "\n".join(opened)
            try:
                cells = split_row(row, self.delimiter)
            except BrokenRow as error:
                if not error.unclosed:
                    yield Caption(None, None, None, None, row)
                    opened = []
                continue
            yield from self._captions(cells, row)
            opened = []
        if opened:
            yield from self._give_up(opened)

    def _give_up(self, lines: list[str]) -> Iterator[Caption]:
        """Refuses the first line, whose quote is not closed, and reads the others again."""
        yield Caption(None, None, None, None, lines[0])
        yield from self.parse(lines[1:])

    def _is_row(self, line: str) -> bool:
        """Whether a line is a row by itself, and so not the rest of a quoted caption."""
        if line.count('"') % 2 or self.delimiter not in line:
            return False
        try:
            cells = split_row(line, self.delimiter)
        except BrokenRow:
            return False
        image = self.places["image"]
        enough = len(cells) == self.width or (self.width == 2 and len(cells) > 2)
        return enough and IS_PICTURE.fullmatch(cells[image if image == 0 else image - self.width]) is not None

    def _captions(self, cells: list[str], row: str) -> Iterator[Caption]:
        joined = self.width == 2 and len(cells) > 2
        if joined:
            cells = _two_cells(row, self.delimiter, self.places["image"])
        if len(cells) != self.width:
            yield Caption(None, None, None, None, row)
            return
        number = cells[self.places["number"]].strip() if self.numbered else ""
        if self.numbered and not re.fullmatch("[0-9]{1,9}", number):
            yield Caption(None, None, None, None, row)
            return
        image_id, text = cells[self.places["image"]].strip(), cells[self.places["caption"]].strip()
        split = cells[self.places["split"]].strip().lower() if self.has_splits else None
        split = SPLIT_NAMES.get(split, split) if split else split
        for one in texts_of(text) if text.startswith("[") else [text]:
            yield Caption(image_id or None, int(number) if self.numbered else None, one, split, row, joined)


def detect(head: Head, columns: Columns) -> Delimited | None:
    """The table that the header names, or that the values of the first lines show; None if it is no table of captions.

    Raises:
        InputError: The columns are ambiguous, or the configuration names columns that do not exist.
    """
    lines = head.lines[:200]
    if not lines:
        return None
    for delimiter in DELIMITERS:
        names = _cells(lines[0], delimiter)
        rows = [_cells(line, delimiter) for line in lines[1:]]
        if len(names) >= 2 and not any(IS_PICTURE.fullmatch(name) for name in names):
            places = columns.roles(names, rows, head.path) if _can_be_header(names, columns) else None
            if places is not None:
                return Delimited(delimiter, len(names), places, lines[0], tuple(names))
    return _without_header(head, lines, columns)


def unknown_header(head: Head) -> str | None:
    """The names of a table's columns of which none is known to hold captions, for messages; None for other texts."""
    for delimiter in DELIMITERS:
        cells = _cells(head.lines[0], delimiter) if head.lines else []
        if len(cells) > 1 and all(re.fullmatch(r"[\w .\-]{1,40}", cell) for cell in cells):
            return ", ".join(cell.strip() for cell in cells)
    return None


def _two_cells(row: str, delimiter: str, image: int) -> list[str]:
    """The photo and the rest of a row whose caption holds delimiters that are not quoted."""
    if image == 0:
        name, _, text = row.partition(delimiter)
        return [name.strip(' "'), text]
    text, _, name = row.rpartition(delimiter)
    return [text, name.strip(' "')]


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return split_row(line, delimiter)
    except BrokenRow:
        return line.split(delimiter)


def _can_be_header(names: Sequence[str], columns: Columns) -> bool:
    """A header holds short names. With columns named by their numbers there is no header."""
    by_number = any(value.isdecimal() for value in columns.by_hand.values())
    return not by_number and all(len(plain_name(name)) <= 40 for name in names)


def _without_header(head: Head, lines: list[str], columns: Columns) -> Delimited | None:
    if columns.by_hand:
        return _by_number(head, lines, columns)
    for delimiter in DELIMITERS:
        rows = [_cells(line, delimiter) for line in lines]
        first = rows[0]
        named = len(rows) > 1 and not any(IS_PICTURE.fullmatch(cell) for cell in first)
        values = [row for row in rows[named:] if len(row) > 1]
        if 2 * len(values) <= len(lines) - named:
            continue
        if (form := _by_values(values, delimiter)) is not None:
            if named:
                raise InputError(
                    f"corpus.columns: {head.path} begins with {lines[0].strip()[:80]!r}, whose names are not known; set "
                    f"corpus.columns.image={first[form.places['image']].strip()} and "
                    f"corpus.columns.caption={first[min(form.places['caption'], len(first) - 1)].strip()}, or the like"
                )
            return form
    return None


def _by_values(rows: list[list[str]], delimiter: str) -> Delimited | None:
    """The columns by their values: one of photos, one of texts, and at most one of numbers and one of splits."""
    first, last = column(rows, 0), [row[-1] for row in rows]
    widths = sorted(len(row) for row in rows)
    if share(IS_PICTURE, first) > 0.5:
        width = widths[len(widths) // 20]  # a caption may hold delimiters: the narrow rows show the columns
    elif share(IS_PICTURE, last) > 0.5:
        texts = [" ".join(row[:-1]) for row in rows]
        return Delimited(delimiter, 2, {"image": 1, "caption": 0}, None, ()) if reads_as_text(texts) else None
    else:
        return None
    places = {"image": 0}
    for place in range(1, width):
        values = column(rows, place)
        if share(r"\s*\d{1,9}\s*", values) > 0.8:
            role = "number"
        elif share(SPLIT_WORD, values) > 0.8:
            role = "split"
        elif share(ENDS_WITH_PICTURE, values) < 0.5 and reads_as_text(values):
            role = "caption"
        else:
            return None
        if role in places:
            return None
        places[role] = place
    return Delimited(delimiter, width, places, None, ()) if "caption" in places else None


def _by_number(head: Head, lines: list[str], columns: Columns) -> Delimited | None:
    """The columns that the configuration names by their numbers. The delimiter is the one that most lines hold."""
    places = {role: int(value) - 1 for role, value in columns.by_hand.items() if value.isdecimal()}
    if len(places) < len(columns.by_hand) or not {"image", "caption"} <= places.keys():
        return None
    counted = {delimiter: sum(delimiter in line for line in lines) for delimiter in DELIMITERS}
    delimiter = max(counted, key=lambda candidate: counted[candidate])
    widths = sorted(len(_cells(line, delimiter)) for line in lines)
    width = max(widths[len(widths) // 20], max(places.values()) + 1)
    return Delimited(delimiter, width, places, None, ())
