"""A caption's explanation as one picture: a column a word, a row a method, and the earlier words that mattered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from udfs.explain.overlays import (
    FAINT,
    HEAT,
    INK,
    PAPER,
    SIGNED,
    blurred,
    fitting,
    font,
    legend,
    overlay,
    scaled,
    shown,
    write,
)

TILE, GAP, HEAD, MARGIN = 168, 8, 66, 16  # pixels
COLUMNS = 8  # words side by side; longer captions go on below
EARLIER = 6  # earlier words shown of a word: those of the largest effect
BAR = 19
TELLING = 1.0  # nats from the photo, from which on a word's maps are worth a look
RED, BLUE = SIGNED[-1], SIGNED[0]


@dataclass(frozen=True)
class Method:
    """A row: its name and remark, and its maps (words, height, width), drawn with HEAT or SIGNED colours.

    Each map has a scale of its own, up to the percentile of its magnitudes; `blur` is the radius, in pixels, by which a map
    of single pixels is blurred so that it can be seen.
    """

    name: str
    remark: str
    maps: np.ndarray
    colours: tuple = HEAT
    percentile: float = 100
    blur: float = 0


@dataclass(frozen=True)
class Word:
    """A column: the word, its probability, the nats that the photo adds to it, and (earlier word, nats) pairs."""

    text: str
    probability: float
    photo_effect: float
    earlier: list[tuple[str, float]]


def draw_strip(photo: np.ndarray, name: str, words: list[Word], methods: list[Method]) -> Image.Image:
    """photo: (height, width, 3) from 0 to 255, as the network saw it; the maps are drawn on just that."""
    columns = -(-len(words) // -(-len(words) // COLUMNS))  # no band much shorter than the others
    bands = [range(first, min(first + columns, len(words))) for first in range(0, len(words), columns)]
    band_height = HEAD + (TILE + GAP) * len(methods) + EARLIER * BAR + 3 * GAP
    width = 2 * MARGIN + max(columns + 1, 5) * (TILE + GAP) - GAP
    canvas = Image.new("RGB", (width, MARGIN + TILE + 2 * GAP + band_height * len(bands) + MARGIN), PAPER)
    _title(canvas, photo, name, " ".join(word.text for word in words))
    top = MARGIN + TILE + 2 * GAP
    for band in bands:
        _row_names(canvas, top, methods)
        for column, number in enumerate(band, start=1):
            left = MARGIN + column * (TILE + GAP)
            _head(canvas, (left, top), words[number])
            place = top + HEAD
            for method in methods:
                values = scaled(blurred(method.maps[number], method.blur), method.percentile)
                picture = overlay(photo, values, method.colours)
                canvas.paste(picture.resize((TILE, TILE), Image.LANCZOS), (left, place))
                place += TILE + GAP
            _bars(canvas, (left, place), words[number].earlier, _largest(words))
        top += band_height
    return canvas


def _title(canvas: Image.Image, photo: np.ndarray, name: str, caption: str) -> None:
    picture = Image.fromarray(photo.clip(0, 255).astype("uint8"))
    canvas.paste(picture.resize((TILE, TILE), Image.LANCZOS), (MARGIN, MARGIN))
    left, width = MARGIN + TILE + 2 * GAP, canvas.width - MARGIN - (MARGIN + TILE + 2 * GAP)
    top = write(canvas, (left, MARGIN), shown(caption, 400), 24, width=width)
    top = write(canvas, (left, top + 2), fitting(shown(name, 200), 13, width), 13, FAINT)
    height, across, _ = photo.shape
    note = (
        f"A column shows what a word's score depends on, given the words before it. The photo is drawn as the network saw it, "
        f"{across} x {height} pixels. Each map has a scale of its own. p: the word's probability. photo: what the photo adds to "
        "its log-probability, in nats, against a plain picture of the photo's mean colour."
    )
    write(canvas, (left, top + 4), note, 13, FAINT, width)


def _row_names(canvas: Image.Image, top: int, methods: list[Method]) -> None:
    width, place = TILE - GAP, top + HEAD
    for method in methods:
        below = write(canvas, (MARGIN, place + 8), method.name, 20, width=width)
        below = write(canvas, (MARGIN, below + 2), method.remark, 13, FAINT, width)
        canvas.paste(legend(width, 12, method.colours), (MARGIN, below + 6))
        ends = ("0", "most") if method.colours is HEAT else ("against", "for the word")
        write(canvas, (MARGIN, below + 20), ends[0], 12, FAINT)
        right = MARGIN + width - round(font(12).getlength(ends[1]))
        write(canvas, (right, below + 20), ends[1], 12, FAINT)
        place += TILE + GAP
    below = write(canvas, (MARGIN, place), "Earlier words", 20, width=width)
    remark = f"nats that the word loses (red) or gains (blue) without each of them; at most {EARLIER}"
    write(canvas, (MARGIN, below + 2), remark, 13, FAINT, width)


def _head(canvas: Image.Image, place: tuple[int, int], word: Word) -> None:
    below = write(canvas, place, fitting(shown(word.text, 60), 24, TILE), 24)
    write(canvas, (place[0], below + 2), f"p {word.probability:.2f}", 14, FAINT)
    effect = f"photo {word.photo_effect:+.1f}"
    write(canvas, (place[0] + 58, below + 2), effect, 14, INK if word.photo_effect >= TELLING else FAINT)


def _bars(canvas: Image.Image, place: tuple[int, int], earlier: list[tuple[str, float]], largest: float) -> None:
    draw, (left, top) = ImageDraw.Draw(canvas), place
    strongest = sorted(range(len(earlier)), key=lambda number: -abs(earlier[number][1]))[:EARLIER]
    for number in sorted(strongest):
        text, effect = earlier[number]
        length = round(abs(effect) / largest * (TILE - 112))
        draw.rectangle((left + 72, top + 3, left + 72 + length, top + BAR - 5), fill=RED if effect > 0 else BLUE)
        write(canvas, (left, top), fitting(shown(text, 40), 13, 68), 13)
        write(canvas, (left + 72 + length + 4, top), f"{effect:+.1f}", 12, FAINT)
        top += BAR


def _largest(words: list[Word]) -> float:
    return max((abs(effect) for word in words for _, effect in word.earlier), default=0) or 1.0
