"""Decodes untrusted picture files into pixels, or refuses them with a reason.

Any exception of a decoder becomes the refusal of that picture. A decoder may also crash its process or use much memory: tasks
that read unknown files use `udfs.vision.isolated_decoder`, which calls these functions in a process of its own.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError

from udfs.errors import one_line
from udfs.vision.conversion import conversions, eight_bit, orientation, upright
from udfs.vision.picture_formats import is_camera_raw, readable_formats, why_not_readable

END_OF_JPEG = b"\xff\xd9"
NO_END = "no_end_marker"
ANTIALIAS, NEAREST = "antialias", "nearest"
REDUCING_GAP = (
    2  # a picture may be reduced fast to this many times its final size; from 2 on that is hardly visible (Pillow)
)


@dataclass(frozen=True)
class PhotoLimits:
    """Which pictures are accepted.

    Attributes:
        max_pixels: The largest width x height, in pixels.
        min_side: The smallest width and height, in pixels.
        strict: Whether greyscale, CMYK, 16-bit and animated pictures are refused. If not, they are converted to 8-bit RGB; of
            several frames, the first is used.
    """

    max_pixels: int = 50_000_000
    min_side: int = 16
    strict: bool = False


def well_formed(text: str) -> str:
    """A text that UTF-8 can encode, so that a table can hold it, of at most 500 characters. Decoders may quote a file's bytes."""
    return text[:500].encode("utf-8", "backslashreplace").decode()


class PhotoRefused(ValueError):
    """A picture that cannot be used.

    Attributes:
        reason: A short name, such as `truncated`, for the quarantine table.
        details: What was found, in a few words.
    """

    def __init__(self, reason: str, details: str):
        self.reason, self.details = well_formed(reason), well_formed(details)
        super().__init__(f"{self.reason}: {self.details}")


@dataclass(frozen=True)
class Photo:
    """A decoded picture.

    Attributes:
        pixels: RGB, uint8, (height, width, 3).
        notes: What was done to use it: the reason for which `strict` would have refused it, or `no_end_marker`.
    """

    pixels: np.ndarray
    notes: list[str] = field(default_factory=list)


def decode_photo(
    content: bytes, size: int | tuple[int, int], limits: PhotoLimits = PhotoLimits(), resize: str = ANTIALIAS
) -> np.ndarray:
    """Decodes a picture file and resizes it.

    Args:
        content: The file's bytes.
        size: (height, width) of the result in pixels, or one number for both.
        limits: Which pictures are accepted.
        resize: ANTIALIAS, where each pixel of the result is an average of all the pixels that it covers (bilinear filter), or
            NEAREST, which takes one of them, as `keras.utils.load_img` does by default.

    Returns:
        The RGB pixels after the EXIF orientation is applied: uint8, (height, width, 3).

    Raises:
        PhotoRefused: The file is not an accepted picture.
    """
    return decode_with_notes(content, size, limits, resize).pixels


def decode_with_notes(
    content: bytes, size: int | tuple[int, int], limits: PhotoLimits, resize: str = ANTIALIAS
) -> Photo:
    """Does the same as `decode_photo`, and also returns what was converted."""
    height, width = (size, size) if isinstance(size, int) else size
    # A JPEG that is far larger is decoded at a half, a quarter or an eighth of its size: the averages of the pixels there.
    draft_side = REDUCING_GAP * max(height, width) if resize == ANTIALIAS else None
    picture, notes = _upright(content, limits, draft_side)
    with _refusing("unreadable"):
        if picture.size != (width, height):
            picture = _resized(picture, (width, height), resize)
        return Photo(np.asarray(picture.convert("RGB")), notes)


def _resized(picture: Image.Image, size: tuple[int, int], resize: str) -> Image.Image:
    """The picture in another size, (width, height)."""
    if resize == NEAREST:
        return picture.resize(size, Image.Resampling.NEAREST)
    # Values of a palette cannot be averaged, so the picture becomes RGB first.
    return picture.convert("RGB").resize(size, Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)


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
    picture, _ = _upright(content, limits, draft_side)
    with _refusing("unreadable"):
        return picture.convert("RGB")


def thumbnail(content: bytes, limits: PhotoLimits, side: int) -> bytes:
    """Returns a JPEG of a picture file whose longer side has at most `side` pixels, without metadata.

    Raises:
        PhotoRefused: The file is not an accepted picture.
    """
    picture = open_photo(content, limits, side)
    with _refusing("unreadable"):
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=78, optimize=True, comment=b"")
        return stream.getvalue()


def _upright(content: bytes, limits: PhotoLimits, draft_side: int | None) -> tuple[Image.Image, list[str]]:
    """The picture with 8 bits a channel and its EXIF orientation applied, and the notes on it."""
    if not content:
        raise PhotoRefused("empty_file", "the file has no bytes")
    picture = _open(content)
    notes = _require_accepted(picture, limits)
    try:
        with _refusing("truncated"):
            _load(picture, draft_side)
    except PhotoRefused:
        if picture.format not in ("JPEG", "MPO"):
            raise
        complete = _without_end_marker(content)
        if complete is None:
            raise
        picture, notes = complete, [*notes, NO_END]
    with _refusing("bad_exif"):
        turned = orientation(picture)
    with _refusing("unreadable"):
        return upright(eight_bit(picture), turned), notes


@contextmanager
def _refusing(reason: str) -> Iterator[None]:
    """Turns every exception of a decoder, of whatever class, into the refusal of the picture."""
    try:
        yield
    except (PhotoRefused, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except MemoryError as error:
        raise PhotoRefused("too_much_memory", "decoding needs more memory than a picture may use") from error
    except Image.DecompressionBombError as error:
        raise PhotoRefused("too_many_pixels", str(error)) from error
    except BaseException as error:  # decoders in Rust raise a BaseException where they panic
        text = one_line(error)
        if "MAX_TEXT" in text:
            raise PhotoRefused(
                "too_much_text", f"the PNG holds more than 1 MB of text or profiles beside its pixels: {text}"
            ) from error
        raise PhotoRefused(reason, text) from error


def _open(content: bytes) -> Image.Image:
    with _refusing("not_an_image"):
        try:
            return Image.open(io.BytesIO(content), formats=readable_formats())
        except UnidentifiedImageError as error:
            raise PhotoRefused(*why_not_readable(content)) from error


def _require_accepted(picture: Image.Image, limits: PhotoLimits) -> list[str]:
    """Refuses the picture, or returns the reasons for which it must be converted."""
    width, height = picture.size
    if width * height > limits.max_pixels:
        raise PhotoRefused("too_many_pixels", f"{width}x{height}, expected at most {limits.max_pixels} pixels")
    if min(width, height) < limits.min_side:
        raise PhotoRefused("too_small", f"{width}x{height}, expected sides of at least {limits.min_side}")
    with _refusing("unreadable"):
        if is_camera_raw(picture):
            raise PhotoRefused(
                "camera_raw", "the TIFF is a preview in a camera's raw file; convert the file to JPEG or PNG"
            )
        needed = list(conversions(picture))
    if needed and limits.strict:
        reason, details = needed[0]
        raise PhotoRefused(reason, f"{details}; corpus.strict=false converts it")
    return [reason for reason, _ in needed]


def _load(picture: Image.Image, draft_side: int | None) -> None:
    if draft_side is not None:
        picture.draft(None, (draft_side, draft_side))
    picture.load()


def _without_end_marker(content: bytes) -> Image.Image | None:
    """A JPEG that lacks only its end marker; None if pixels are missing too.

    It is decoded with two different continuations. If the pixels are the same, none of them depends on what is missing.
    """
    content = content.rstrip(b"\xff")
    pictures = []
    for continuation in (b"", b"\x55" * 64):
        try:
            with _refusing("truncated"):
                picture = Image.open(io.BytesIO(content + continuation + END_OF_JPEG), formats=("JPEG",))
                _load(picture, None)  # a smaller scale would leave out what is missing
        except PhotoRefused:  # the caller reports what the decoder had against the file itself
            return None
        pictures.append(picture)
    return pictures[0] if ImageChops.difference(*pictures).getbbox(alpha_only=False) is None else None
