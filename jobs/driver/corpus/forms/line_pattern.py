"""Lines that one regular expression reads: Flickr8k's and Flickr30k's tokens, and names and captions with spaces between them.

1000268201_693b08cb0e.jpg#0	A child in a pink dress is climbing up a set of stairs .
1000268201_693b08cb0e.jpg#0  A child in a pink dress is climbing up a set of stairs .
1000268201_693b08cb0e.jpg A child in a pink dress is climbing up a set of stairs .
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from jobs.driver.corpus.forms.caption import PICTURE, Caption, Head
from jobs.driver.corpus.forms.columns import Columns, reads_as_text


@dataclass(frozen=True)
class LinePattern:
    """Lines in which a pattern has the groups name, number and text, or only name and text.

    Attributes:
        pattern: A regular expression that Java and Python understand alike.
        description: The form, in words.
        numbered: Whether the pattern has a number.
    """

    pattern: str
    description: str
    numbered: bool = True
    by_line: ClassVar[bool] = True
    has_splits: ClassVar[bool] = False

    def parse(self, lines: Iterable[str]) -> Iterator[Caption]:
        pattern = re.compile(self.pattern)
        for line in lines:
            if not line.strip():
                continue
            if (match := pattern.match(line)) is None:
                yield Caption(None, None, None, None, line)
            elif self.numbered:
                yield Caption(match[1], int(match[2]), match[3], None, line)
            else:
                yield Caption(match[1], None, match[2], None, line)


TOKENS = LinePattern(r"^([^\t]*?)\s*#([0-9]{1,9})\t(.*)$", "tokens, NAME#NUMBER<tab>CAPTION")
SPACED_TOKENS = LinePattern(
    rf"^(\S(?:[^\t]*?\S)?(?i:{PICTURE}))\s*#([0-9]{{1,9}}) +(\S.*)$", "tokens with spaces, NAME#NUMBER CAPTION"
)
SPACED_NAMES = LinePattern(
    rf"^(\S(?:[^\t]*?\S)?(?i:{PICTURE})) +(\S.*)$", "names and captions with spaces between them", numbered=False
)


def detect(head: Head, columns: Columns) -> LinePattern | None:
    """The pattern that most of the first lines have; None if there is no such pattern."""
    if columns.by_hand:
        return None
    for form in (TOKENS, SPACED_TOKENS, SPACED_NAMES):
        captions = list(form.parse(head.lines[:200]))
        texts = [caption.text or "" for caption in captions if caption.image_id]
        if 2 * len(texts) > len(captions) and (form is TOKENS or reads_as_text(texts)):
            return form
    return None
