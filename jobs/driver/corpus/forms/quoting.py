"""Splits the rows of a table by RFC 4180."""

from __future__ import annotations


class BrokenRow(ValueError):
    """A quote is followed by text, or is not closed (`unclosed`)."""

    def __init__(self, unclosed: bool):
        super().__init__("unclosed quote" if unclosed else "text after a closing quote")
        self.unclosed = unclosed


def split_row(row: str, delimiter: str) -> list[str]:
    """The cells of a row by RFC 4180; spaces before an opening quote and after a closing one are ignored.

    Raises:
        BrokenRow: A quote is not closed, or text follows a closing quote.
    """
    if '"' not in row:
        return row.split(delimiter)
    cells, place = [], 0
    while True:
        start = place
        while row[start : start + 1] == " ":
            start += 1
        if row[start : start + 1] == '"':
            cell, place = _quoted(row, start + 1)
            if row[place : place + 1] not in ("", delimiter):
                raise BrokenRow(unclosed=False)
        else:
            end = row.find(delimiter, place)
            end = len(row) if end < 0 else end
            cell, place = row[place:end], end
        cells.append(cell)
        if place >= len(row):
            return cells
        place += 1


def _quoted(row: str, start: int) -> tuple[str, int]:
    """The text of a quoted cell, and the place after its closing quote and spaces."""
    end = start
    while True:
        end = row.find('"', end)
        if end < 0:
            raise BrokenRow(unclosed=True)
        if row[end + 1 : end + 2] != '"':
            break
        end += 2
    place = end + 1
    while row[place : place + 1] == " ":
        place += 1
    return row[start:end].replace('""', '"'), place
