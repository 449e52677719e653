"""Decodes untrusted picture files into pixels, or refuses them with a reason."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
# Modes that convert to RGB without loss. Other modes lose colours, depth or frames; they are refused by default.
PLAIN_MODES = ("RGB", "RGBA", "RGBX", "P", "YCbCr")
MODE_REASONS = {"CMYK": "cmyk", "L": "greyscale", "LA": "greyscale", "1": "greyscale"}


@dataclass(frozen=True)
class PhotoLimits:
    """Which pictures are accepted.

    Attributes:
        max_pixels: The largest width x height, in pixels.
        min_side: The smallest width and height, in pixels.
        convert: Whether other colour modes, 16-bit channels and the first frame of animations are converted to 8-bit RGB.
            If not, they are refused.
    """

    max_pixels: int = 50_000_000
    min_side: int = 16
    convert: bool = False


class PhotoRefused(ValueError):
    """A picture that cannot be used.

    Attributes:
        reason: A short name, such as `truncated`, for the quarantine table.
        details: What was found, in a few words.
    """

    def __init__(self, reason: str, details: str):
        super().__init__(f"{reason}: {details}")
        self.reason, self.details = reason, details


def decode_photo(content: bytes, size: int | tuple[int, int], limits: PhotoLimits = PhotoLimits()) -> np.ndarray:
    """Decodes a picture file and resizes it as `keras.utils.load_img` does by default (nearest neighbour).

    Args:
        content: The file's bytes.
        size: (height, width) of the result in pixels, or one number for both.
        limits: Which pictures are accepted.

    Returns:
        The RGB pixels after the EXIF orientation is applied: uint8, (height, width, 3).

    Raises:
        PhotoRefused: The file is not an accepted picture.
    """
    pixels = open_photo(content, limits)
    height, width = (size, size) if isinstance(size, int) else size
    if pixels.size != (width, height):
        pixels = pixels.resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(pixels)


def open_photo(content: bytes, limits: PhotoLimits = PhotoLimits(), draft_side: int | None = None) -> Image.Image:
    """Decodes a picture file to RGB and applies its EXIF orientation.

    Args:
        content: The file's bytes.
        limits: Which pictures are accepted.
        draft_side: If given, a JPEG is decoded at the smallest of its scales with sides of at least this many pixels,
            which is faster.

    Raises:
        PhotoRefused: The file is not an accepted picture.
    """
    if not content:
        raise PhotoRefused("empty_file", "the file has no bytes")
    with _open(content) as picture:
        _require_accepted(picture, limits)
        if draft_side is not None:
            picture.draft(None, (draft_side, draft_side))
        pixels = _load(picture)
    return _eight_bit(ImageOps.exif_transpose(pixels)).convert("RGB")


def thumbnail(content: bytes, limits: PhotoLimits, side: int) -> bytes:
    """Returns a JPEG of a picture file whose longer side has at most `side` pixels, without metadata.

    Raises:
        PhotoRefused: The file is not an accepted picture.
    """
    picture = open_photo(content, limits, side)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=78, optimize=True)
    return stream.getvalue()


def _open(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise PhotoRefused("not_an_image", f"no {', '.join(FORMATS)} picture in {len(content)} bytes") from error
    except Image.DecompressionBombError as error:
        raise PhotoRefused("too_many_pixels", str(error)) from error
    except Exception as error:  # a decoder's own error on hostile bytes
        raise PhotoRefused("not_an_image", f"{type(error).__name__}: {error}") from error


def _require_accepted(picture: Image.Image, limits: PhotoLimits) -> None:
    width, height = picture.size
    if width * height > limits.max_pixels:
        raise PhotoRefused("too_many_pixels", f"{width}x{height}, expected at most {limits.max_pixels} pixels")
    if min(width, height) < limits.min_side:
        raise PhotoRefused("too_small", f"{width}x{height}, expected sides of at least {limits.min_side}")
    if limits.convert:
        return
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        raise PhotoRefused("animated", f"{frames} frames; corpus.convert=true takes the first")
    if any("16" in str(tile[3]) for tile in getattr(picture, "tile", ())):
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
