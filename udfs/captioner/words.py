"""The words of a caption, in any language: Unicode normalisation, lower case, and the word boundaries of Unicode.

`words_of("A dog's ball, on grass!")` is `["a", "dogs", "ball", "on", "grass"]`. The rules:

- Text becomes lower case and NFC, so that composed and decomposed letters are equal. Invisible characters (Unicode's
  default ignorable code points, such as U+200D, U+FE0F and U+FEFF) are removed; only the zero width space U+200B separates.
- A word consists of letters, digits and their combining marks, so that vowel signs of Hindi and Arabic stay.
  Punctuation, symbols, emoji and white space separate words.
- Within a word, apostrophes, hyphens and low lines are removed without separating, as are the points between initials
  ("U.S." is "us"), the separators of a number ("10,000" is "10000") and the middle dot of Catalan.
- Chinese characters and hiragana are words of their own, and katakana is separated from other writing, as in UAX #29.
  Thai, Lao, Khmer and Burmese are separated only at their spaces, because their words cannot be found without a dictionary.

These are the boundaries of UAX #29 (Unicode text segmentation), with four exceptions: a point separates words ("grass.A"), so
does a colon, and a hyphen does not ("t-shirt" is one word); Thai and its relatives are kept in phrases.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import regex

# Part of a vocabulary's fingerprint. Increase it whenever `words_of` returns other words for some text.
NORMALISATION = 2

# Each joiner begins with its own character, and then checks both sides: the search for it stays fast.
_ASCII_JOINER = re.compile(
    r"['_-](?<=[a-z0-9].)(?=[a-z0-9])"
    r"|\.(?<=(?<![a-z0-9])[a-z].)(?=[a-z](?![a-z0-9]))"
    r"|[.,](?<=[0-9].)(?=[0-9])"
)
_ASCII_RUN = re.compile(r"[a-z0-9]+")

_INVISIBLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}--\u200b]+", regex.V1)
_LETTER, _WORD = r"[\p{L}\p{N}]", r"[\p{L}\p{N}\p{Mn}\p{Mc}]"
_JOINER = regex.compile(
    # U+2018 to U+201B are quotes, U+02BC is the letter apostrophe, U+2010 and U+2011 are hyphens, U+05F3 and U+05F4 Hebrew's.
    rf"['_\u2018\u2019\u201b\u02bc\uff07\u2010\u2011\u00b7\u2027\u05f3\u05f4-](?<={_WORD}.)(?={_LETTER})"
    rf"|\"(?<=[\p{{Hebrew}}]\")(?=\p{{Hebrew}})"
    rf"|\.(?<=(?<!{_WORD})\p{{L}}\.)(?=\p{{L}}(?!{_WORD}))"
    r"|[.,\u066b\u066c](?<=\p{Nd}.)(?=\p{Nd})",
    regex.V1,
)
_RUN = regex.compile(rf"{_LETTER}{_WORD}*", regex.V1)
_MARKS = r"\p{Mn}\p{Mc}"
_SINGLE = r"\p{Han}\p{Hiragana}"
_KATAKANA = r"\p{Katakana}\u3031-\u3035\u30fc\uff70\uff9e\uff9f"
_PHRASES = r"\p{Line_Break=SA}"  # "complex context": Thai, Lao, Khmer, Burmese and their relatives
_UNSPACED = regex.compile(rf"[{_SINGLE}{_KATAKANA}{_PHRASES}]", regex.V1)
_PART = regex.compile(
    rf"[{_SINGLE}][{_MARKS}]*|[{_KATAKANA}][{_KATAKANA}{_MARKS}]*|[{_PHRASES}][{_PHRASES}{_MARKS}]*"
    rf"|[^{_SINGLE}{_KATAKANA}{_PHRASES}]+",
    regex.V1,
)
_SPACE_BETWEEN = regex.compile(
    rf"(?<=[{_SINGLE}{_KATAKANA}][{_MARKS}]*) (?=[{_SINGLE}{_KATAKANA}])",
    regex.V1,
)


def plain_text(text: str) -> str:
    """Returns the normalised text: as `words_of`, but writing without spaces stays together.

    `plain_text("一只狗，在草地上。")` is `"一只狗 在草地上"`.
    """
    return " ".join(_runs(text))


def words_of(text: str) -> list[str]:
    """Returns the words of a caption, as the module describes them."""
    runs = _runs(text)
    if text.isascii() or not _UNSPACED.search(text):
        return runs
    return [part for run in runs for part in _PART.findall(run)]


def scored_words(words: Iterable[str]) -> list[str]:
    """Returns the units of which BLEU and CIDEr-D count n-grams: words, and single characters of writing without spaces.

    Chinese, Japanese, Thai, Lao, Khmer and Burmese are counted in characters, as by sacrebleu's tokenizers `zh` and `char`.
    """
    units: list[str] = []
    for word in words:
        if word.isascii() or not _UNSPACED.search(word):
            units.append(word)
        else:
            units.extend(word)
    return units


def is_unspaced(unit: str) -> bool:
    """Whether a unit of `scored_words` is a character of writing without spaces."""
    return not unit.isascii() and _UNSPACED.match(unit) is not None


def join_words(words: Iterable[str]) -> str:
    """Returns words as text: with spaces between them, except between Chinese and Japanese characters."""
    text = " ".join(words)
    return text if text.isascii() else _SPACE_BETWEEN.sub("", text)


def _runs(text: str) -> list[str]:
    """The parts of a text between its separators, normalised."""
    if text.isascii():
        return _ASCII_RUN.findall(_ASCII_JOINER.sub("", text.lower()))
    visible = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    lower = unicodedata.normalize("NFC", visible.lower())
    return _RUN.findall(_JOINER.sub("", lower))
