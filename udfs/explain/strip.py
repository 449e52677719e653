"""Draws a caption's explanation as one picture: a column per word, a row per method, and the most influential earlier words."""

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
    blur_map,
    colour_bar,
    draw_text,
    font,
    overlay,
    scale_map,
    truncate_to_width,
    visible_text,
)

TILE, GAP, HEAD, MARGIN = 168, 8, 66, 16  # pixels
COLUMNS = 8  # largest number of words side by side; longer captions continue below
EARLIER = 6  # earlier words drawn for each word: those with the largest effects
BAR, BAR_LEFT = 19, 72  # pixels: height of an earlier word's line, and where its bar begins
STRONG_EFFECT = 1.0  # nats; a photo effect from which on a word's maps are informative
RED, BLUE = SIGNED[-1], SIGNED[0]


@dataclass(frozen=True)
class Method:
    """A row of the picture.

    Attributes:
        name: The method's name.
        remark: What its maps show, in a few words.
        maps: (words, height, width). Each map has its own scale.
        colours: HEAT for maps from 0 on, SIGNED for maps with negative values.
        percentile: The percentile of a map's magnitudes that gets the strongest colour.
        blur: The radius, in pixels, by which the map is blurred. Maps of single pixels are hard to see without it.
    """

    name: str
    remark: str
    maps: np.ndarray
    colours: tuple = HEAT
    percentile: float = 100
    blur: float = 0


@dataclass(frozen=True)
class Word:
    """A column of the picture.

    Attributes:
        text: The word.
        probability: Its probability, given the photo and the words before it.
        photo_effect: What the photo adds to its log-probability, in nats.
        earlier: (earlier word, what it adds to the log-probability in nats), in the caption's order.
    """

    text: str
    probability: float
    photo_effect: float
    earlier: list[tuple[str, float]]


def draw_strip(photo: np.ndarray, name: str, words: list[Word], methods: list[Method]) -> Image.Image:
    """Draws the explanation of a caption.

    Args:
        photo: (height, width, 3) from 0 to 255, of the size that the network receives; the maps are drawn on it.
        name: The photo's name.
        words: The caption's words, at least one.
        methods: The rows.
    """
    columns = -(-len(words) // -(-len(words) // COLUMNS))  # bands of about equal length
    bands = [range(first, min(first + columns, len(words))) for first in range(0, len(words), columns)]
    band_height = HEAD + (TILE + GAP) * len(methods) + EARLIER * BAR + 3 * GAP
    width = 2 * MARGIN + max(columns + 1, 5) * (TILE + GAP) - GAP
    canvas = Image.new("RGB", (width, MARGIN + TILE + 2 * GAP + band_height * len(bands) + MARGIN), PAPER)
    _draw_title(canvas, photo, name, " ".join(word.text for word in words))
    largest = max((abs(effect) for word in words for _, effect in word.earlier), default=0) or 1.0
    top = MARGIN + TILE + 2 * GAP
    for band in bands:
        _draw_row_names(canvas, top, methods)
        for column, number in enumerate(band, start=1):
            left = MARGIN + column * (TILE + GAP)
            _draw_word(canvas, (left, top), words[number])
            place = top + HEAD
            for method in methods:
                values = scale_map(blur_map(method.maps[number], method.blur), method.percentile)
                picture = overlay(photo, values, method.colours)
                canvas.paste(picture.resize((TILE, TILE), Image.Resampling.LANCZOS), (left, place))
                place += TILE + GAP
            _draw_bars(canvas, (left, place), words[number].earlier, largest)
        top += band_height
    return canvas


def _draw_title(canvas: Image.Image, photo: np.ndarray, name: str, caption: str) -> None:
    picture = Image.fromarray(photo.clip(0, 255).astype("uint8"))
    canvas.paste(picture.resize((TILE, TILE), Image.Resampling.LANCZOS), (MARGIN, MARGIN))
    left, width = MARGIN + TILE + 2 * GAP, canvas.width - MARGIN - (MARGIN + TILE + 2 * GAP)
    top = draw_text(canvas, (left, MARGIN), visible_text(caption, 400), 24, width=width)
    top = draw_text(canvas, (left, top + 2), truncate_to_width(visible_text(name, 200), 13, width), 13, FAINT)
    rows, columns, _ = photo.shape
    note = (
        f"Each column shows what a word's score depends on, given the words before it. The photo has the {columns} x {rows} "
        "pixels that the network receives. Each map has its own scale. p: the word's probability. photo: what the photo adds "
        "to its log-probability, in nats, compared with a plain picture of the photo's mean colour."
    )
    draw_text(canvas, (left, top + 4), note, 13, FAINT, width)


def _draw_row_names(canvas: Image.Image, top: int, methods: list[Method]) -> None:
    width, place = TILE - GAP, top + HEAD
    for method in methods:
        below = draw_text(canvas, (MARGIN, place + 8), method.name, 20, width=width)
        below = draw_text(canvas, (MARGIN, below + 2), method.remark, 13, FAINT, width)
        canvas.paste(colour_bar(width, 12, method.colours), (MARGIN, below + 6))
        ends = ("0", "most") if method.colours is HEAT else ("against", "for the word")
        draw_text(canvas, (MARGIN, below + 20), ends[0], 12, FAINT)
        right = MARGIN + width - round(font(12).getlength(ends[1]))
        draw_text(canvas, (right, below + 20), ends[1], 12, FAINT)
        place += TILE + GAP
    below = draw_text(canvas, (MARGIN, place), "Earlier words", 20, width=width)
    remark = f"nats that the word loses (red) or gains (blue) without each of them; at most {EARLIER}"
    draw_text(canvas, (MARGIN, below + 2), remark, 13, FAINT, width)


def _draw_word(canvas: Image.Image, place: tuple[int, int], word: Word) -> None:
    below = draw_text(canvas, place, truncate_to_width(visible_text(word.text, 60), 24, TILE), 24)
    draw_text(canvas, (place[0], below + 2), f"p {word.probability:.2f}", 14, FAINT)
    colour = INK if word.photo_effect >= STRONG_EFFECT else FAINT
    draw_text(canvas, (place[0] + 58, below + 2), f"photo {word.photo_effect:+.1f}", 14, colour)


def _draw_bars(canvas: Image.Image, place: tuple[int, int], earlier: list[tuple[str, float]], largest: float) -> None:
    """The earlier words with the largest effects, as bars; an effect of `largest` nats fills the width."""
    draw, (left, top) = ImageDraw.Draw(canvas), place
    strongest = sorted(range(len(earlier)), key=lambda number: -abs(earlier[number][1]))[:EARLIER]
    start = left + BAR_LEFT
    for number in sorted(strongest):
        text, effect = earlier[number]
        length = round(abs(effect) / largest * (TILE - 112))
        draw.rectangle((start, top + 3, start + length, top + BAR - 5), fill=RED if effect > 0 else BLUE)
        draw_text(canvas, (left, top), truncate_to_width(visible_text(text, 40), 13, BAR_LEFT - 4), 13)
        draw_text(canvas, (start + length + 4, top), f"{effect:+.1f}", 12, FAINT)
        top += BAR
