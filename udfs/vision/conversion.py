"""What makes a picture differ from a single upright 8-bit RGB picture, and how it becomes one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageChops

# Modes that convert to RGB without loss. Other modes lose colours or depth; `strict` refuses them.
PLAIN_MODES = ("RGB", "RGBA", "RGBX", "P", "YCbCr")
MODE_REASONS = {"CMYK": "cmyk", "L": "greyscale", "LA": "greyscale", "La": "greyscale", "1": "greyscale"}
STILL_FORMATS = ("MPO", "HEIF")  # a phone's photo, followed by a preview or a depth map: no animation
ORIENTATION = 0x0112  # EXIF's tag
TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip


def conversions(picture: Image.Image) -> Iterator[tuple[str, str]]:
    """(reason, details) of everything that makes the picture differ from a single 8-bit RGB picture."""
    if picture.format not in STILL_FORMATS and getattr(picture, "is_animated", False):
        yield "animated", f"several frames or pages ({picture.format}), expected one"
    raw_modes = [
        tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3] for tile in getattr(picture, "tile", ())
    ]
    if any(";16" in str(raw_mode) for raw_mode in raw_modes):
        yield "sixteen_bit", f"16 bits a channel ({picture.format}), expected 8"
    elif picture.mode not in PLAIN_MODES:
        reason = MODE_REASONS.get(picture.mode, "sixteen_bit" if picture.mode[0] in "IF" else "other_colours")
        yield reason, f"mode {picture.mode}, expected 8-bit RGB"


def upright(picture: Image.Image, orientation: int | None) -> Image.Image:
    """The picture, turned as EXIF's orientation says."""
    return picture.transpose(TRANSPOSED[orientation]) if orientation in TRANSPOSED else picture


def orientation(picture: Image.Image) -> int | None:
    """EXIF's orientation, in which the picture still has to be turned. Pillow has turned a TIFF already."""
    # An image of its own, because `picture.getexif()` hides errors that occurred when the file was opened.
    metadata = Image.new("1", (1, 1))
    metadata.info = picture.info
    return metadata.getexif().get(ORIENTATION)


def eight_bit(picture: Image.Image) -> Image.Image:
    """The picture with 8 bits a channel, and with CMYK values that count ink."""
    if picture.mode == "CMYK" and picture.format in ("JPEG", "MPO") and "adobe" not in picture.info:
        # Pillow inverts the values of every CMYK JPEG, but only Adobe's programs store them inverted.
        return ImageChops.invert(picture)
    if picture.mode[0] not in "IF":
        return picture
    values = np.nan_to_num(np.array(picture, dtype="float32"), copy=False)
    largest = values.max()
    top = 65535 if largest > 255 else 255 if largest > 1 or picture.mode[0] == "I" else 1
    np.clip(values, 0, top, out=values)
    values *= 255 / top
    return Image.fromarray(np.rint(values, out=values).astype("uint8"))
