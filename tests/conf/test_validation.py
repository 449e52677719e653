"""Values in lists and mappings, as the laboratory and the studies have them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import pytest

from conf import ConfigError, load_as
from conf.key import key
from conf.keys import describe, keys_of

Share = Annotated[float, key("", low=0.0, high=1.0)]


@dataclass
class Shelf:
    books: Annotated[int, key("books on it", low=1)] = 1
    labels: Annotated[dict[int, list[str]], key("labels by place")] = field(default_factory=dict)

    def __post_init__(self):
        if self.books == 13:
            raise ValueError("books: found 13, expected another number; set books=12")


@dataclass
class Library:
    light: Annotated[Share | list[Share], key("of all shelves, or of each")] = 0.5
    shelves: Annotated[dict[str, Shelf], key("by name")] = field(default_factory=dict)


def test_one_number_or_a_list_of_numbers():
    assert load_as(Library, None, ["light=1"]).light == 1.0
    assert load_as(Library, None, ["light=[0,1]"]).light == [0.0, 1.0]
    assert keys_of(Library)["light"].expected == "number from 0 to 1 or a list, each item a number from 0 to 1"


def test_overrides_reach_into_mappings(tmp_path):
    path = tmp_path / "library.yaml"
    path.write_text("shelves:\n  low: {books: 3}\n  high: {books: 4}\n")
    library = load_as(Library, str(path), ["shelves.low.books=5", "shelves.low.labels.2=[old]", "shelves.new.books=7"])
    assert {name: shelf.books for name, shelf in library.shelves.items()} == {"low": 5, "high": 4, "new": 7}
    assert library.shelves["low"].labels == {2: ["old"]}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("light=[0.5,2]", ["light", "[0.5, 2]", "from 0 to 1"]),
        ("light=nan", ["light", "nan"]),
        ("shelves.low.books=0", ["shelves.low.books", "0", "at least 1"]),
        ("shelves.low.books=13", ["shelves.low.books: found 13"]),
        ("shelves.low.book=3", ["shelves.low.book", "unknown key", "books"]),
        ("shelves.low=3", ["shelves.low", "3"]),
        ("shelf.low.books=3", ["shelf.low.books", "shelves"]),
    ],
)
def test_a_wrong_value_is_named_with_its_place(override, words):
    with pytest.raises(ConfigError) as error:
        load_as(Library, None, [override])
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_help_describes_the_keys_inside_a_mapping():
    assert "  shelves.NAME.books=1 " in describe(Library)
