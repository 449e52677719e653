"""Turning the bytes of an untrusted picture file into pixels, or into a reason to refuse it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
# Modes whose pixels a conversion to RGB keeps; the others lose colours, depth or frames and are refused unless asked for.
PLAIN_MODES = ("RGB", "RGBA", "RGBX", "P", "YCbCr")
MODE_REASONS = {"CMYK": "cmyk", "L": "greyscale", "LA": "greyscale", "1": "greyscale"}


@dataclass(frozen=True)
class PhotoLimits:
    """What a picture may be: pixels at most, the shorter side at least, and whether other colour modes are converted."""

    max_pixels: int = 50_000_000
    min_side: int = 16
    convert: bool = False


class PhotoRefused(ValueError):
    """A picture that is not used; `reason` is a short name for the quarantine table."""

    def __init__(self, reason: str, details: str):
        super().__init__(f"{reason}: {details}")
        self.reason, self.details = reason, details


def decode_photo(content: bytes, side: int | tuple[int, int], limits: PhotoLimits = PhotoLimits()) -> np.ndarray:
    """The pixels of a picture file, resized as `keras.utils.load_img` does by default (nearest neighbour).

    Arguments:
        content: the file's bytes.
        side: height and width of the result, or one number for both.
        limits: what is refused.

    Returns: uint8 array of shape (height, width, 3), RGB. EXIF orientation is applied.
    Raises: PhotoRefused.
    """
    pixels = open_photo(content, limits)
    height, width = (side, side) if isinstance(side, int) else side
    if pixels.size != (width, height):
        pixels = pixels.resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(pixels)


def open_photo(content: bytes, limits: PhotoLimits = PhotoLimits(), near: int | None = None) -> Image.Image:
    """The picture in a file, RGB, upright as its EXIF orientation says.

    near: pixels a side that are enough; a JPEG is then decoded at the smallest of its scales that has them. Raises PhotoRefused.
    """
    if not content:
        raise PhotoRefused("empty_file", "the file has no bytes")
    with _open(content) as picture:
        _require_usable(picture, limits)
        if near is not None:
            picture.draft(None, (near, near))
        pixels = _load(picture)
    return _eight_bit(ImageOps.exif_transpose(pixels)).convert("RGB")


def thumbnail(content: bytes, limits: PhotoLimits, side: int) -> bytes:
    """A small JPEG of a picture file whose longer side has at most `side` pixels, without its metadata. Raises PhotoRefused."""
    picture = open_photo(content, limits, side)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    small = io.BytesIO()
    picture.save(small, "JPEG", quality=78, optimize=True)
    return small.getvalue()


def _open(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise PhotoRefused("not_an_image", f"no {', '.join(FORMATS)} picture in {len(content)} bytes") from error
    except Image.DecompressionBombError as error:
        raise PhotoRefused("too_many_pixels", str(error)) from error
    except Exception as error:  # a decoder's own error on hostile bytes
        raise PhotoRefused("not_an_image", f"{type(error).__name__}: {error}") from error


def _require_usable(picture: Image.Image, limits: PhotoLimits) -> None:
    width, height = picture.size
    if width * height > limits.max_pixels:
        raise PhotoRefused("too_many_pixels", f"{width}x{height}, expected at most {limits.max_pixels} pixels")
    if min(width, height) < limits.min_side:
        raise PhotoRefused("too_small", f"{width}x{height}, expected sides of at least {limits.min_side}")
    if limits.convert:
        return
    if getattr(picture, "n_frames", 1) > 1:
        raise PhotoRefused("animated", f"{picture.n_frames} frames; corpus.convert=true takes the first")
    if any("16" in str(tile[3]) for tile in picture.tile):
        raise PhotoRefused("sixteen_bit", f"16 bits a channel ({picture.format}); corpus.convert=true converts")
    if picture.mode not in PLAIN_MODES:
        reason = MODE_REASONS.get(picture.mode, "sixteen_bit")
        raise PhotoRefused(reason, f"mode {picture.mode}, expected 8-bit RGB; corpus.convert=true converts")


def _load(picture: Image.Image) -> Image.Image:
    try:
        picture.load()
        return picture.copy()
    except Exception as error:  # truncated or corrupt data shows only here, as OSError, SyntaxError or struct.error
        raise PhotoRefused("truncated", f"{type(error).__name__}: {error}") from error


def _eight_bit(picture: Image.Image) -> Image.Image:
    if not picture.mode.startswith("I") and picture.mode != "F":
        return picture
    values = np.asarray(picture, dtype="float64")
    top = 65535.0 if values.max() > 255 else 255.0
    return Image.fromarray((values.clip(0, top) * (255.0 / top)).astype("uint8"))
