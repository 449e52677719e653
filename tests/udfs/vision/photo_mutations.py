"""Damaged pictures: real files of every format, changed where decoders read lengths, offsets and types."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from udfs.vision.picture_formats import readable_formats

NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
Mutation = Callable[[np.random.Generator, bytearray], bytes]


@cache
def originals() -> dict[str, bytes]:
    """Small pictures of every format that is read, with metadata."""
    values = np.random.default_rng(0).integers(0, 256, (40, 48, 3), "uint8")
    rgb = Image.fromarray(values).resize((96, 80))
    second = rgb.rotate(180)
    exif = _exif()
    text = PngInfo()
    text.add_text("comment", "text", zip=True)
    text.add_itxt("title", "Überschrift", zip=True)
    deep = Image.fromarray(values[..., 0].astype("uint16") * 257)
    files = {
        "jpeg": _encoded(rgb, "JPEG", exif=exif, comment=b"comment", icc_profile=b"profile" * 20),
        "jpeg progressive": _encoded(rgb, "JPEG", progressive=True, exif=exif),
        "jpeg cmyk": _encoded(rgb.convert("CMYK"), "JPEG", exif=exif),
        "jpeg restart": _encoded(rgb, "JPEG", restart_marker_rows=1, subsampling=2),
        "mpo": _encoded(rgb, "MPO", second, exif=exif),
        "png": _encoded(rgb.convert("RGBA"), "PNG", exif=exif, pnginfo=text, icc_profile=b"profile" * 20),
        "png palette": _encoded(rgb.quantize(16), "PNG", transparency=3, exif=exif),
        "png deep": _encoded(deep, "PNG"),
        "png animated": _encoded(rgb, "PNG", second, duration=100),
        "gif": _encoded(rgb.quantize(32), "GIF", comment=b"comment"),
        "gif animated": _encoded(rgb, "GIF", second, disposal=2, transparency=0),
        "webp": _encoded(rgb, "WEBP", exif=exif, icc_profile=b"profile" * 20),
        "webp lossless": _encoded(rgb.convert("RGBA"), "WEBP", lossless=True, exif=exif),
        "webp animated": _encoded(rgb, "WEBP", second, exif=exif),
        "tiff": _encoded(rgb, "TIFF", exif=exif),
        "tiff lzw": _encoded(rgb, "TIFF", compression="tiff_lzw"),
        "tiff deflate pages": _encoded(rgb, "TIFF", second, compression="tiff_deflate"),
        "tiff jpeg": _encoded(rgb, "TIFF", compression="jpeg"),
        "tiff deep": _encoded(deep, "TIFF"),
        "tiff fax": _encoded(rgb.convert("1"), "TIFF", compression="group4"),
        "bmp": _encoded(rgb.quantize(200), "BMP"),
    }
    for name in sorted({"AVIF", "HEIF", "JXL"} & set(readable_formats())):
        files[name.lower()] = _encoded(rgb, name, exif=exif)
    return files


def mutated(seed: int) -> tuple[str, bytes]:
    """(name of the original, its damaged file); the same for the same seed."""
    random = np.random.default_rng(seed)
    name = str(random.choice(list(originals())))
    content = originals()[name]
    for _ in range(int(random.choice([1, 1, 2, 4]))):
        choices = [_numbers, _bits, _cut, _repeat, _splice, *_special(content)]
        content = choices[random.integers(len(choices))](random, bytearray(content))
    return name, content


def _encoded(picture: Image.Image, form: str, second: Image.Image | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    if second is not None:
        options |= {"save_all": True, "append_images": [second.copy()]}
    picture.copy().save(stream, form, **options)  # copies, because saving leaves settings in a picture
    return stream.getvalue()


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Camera"
    exif[0x011A] = 72.0
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 10:00:00"
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 15.0)
    return exif.tobytes()


def _special(content: bytes) -> list[Mutation]:
    """Mutations of the format's own fields, several times, so that they are as likely as the general ones."""
    special: list[Mutation] = []
    if content.startswith(b"\x89PNG"):
        special += [_png_chunk] * 3
    if content.startswith(b"\xff\xd8"):
        special += [_jpeg_segment] * 3
    if content.startswith(b"RIFF"):
        special += [_riff_chunk] * 3
    if content.startswith(b"GIF8"):
        special += [_gif_block] * 3
    if _tiff_start(content) is not None:
        special += [_tiff_entry] * 4
    return special


def _numbers(random: np.random.Generator, content: bytearray) -> bytes:
    """One field of 1, 2 or 4 bytes gets an extreme value, more often near the file's start."""
    width = int(random.choice([1, 2, 4]))
    place = int(len(content) * random.random() ** 3)
    order = str(random.choice(["little", "big"]))
    content[place : place + width] = (int(random.choice(NUMBERS)) % 256**width).to_bytes(width, order)
    return bytes(content)


def _bits(random: np.random.Generator, content: bytearray) -> bytes:
    for place in random.integers(len(content), size=random.integers(1, 30)) if content else ():
        content[place] ^= 1 << random.integers(8)
    return bytes(content)


def _cut(random: np.random.Generator, content: bytearray) -> bytes:
    start = int(random.integers(len(content) + 1))
    length = int(random.choice([1, 2, 16, len(content)]))
    return bytes(content[:start] + content[start + length :])


def _repeat(random: np.random.Generator, content: bytearray) -> bytes:
    start, length = int(random.integers(len(content) + 1)), int(random.choice([1, 16, 200]))
    return bytes(content[:start] + content[start : start + length] * int(random.integers(2, 50)) + content[start:])


def _splice(random: np.random.Generator, content: bytearray) -> bytes:
    """The file's beginning, and the end of a file of another format."""
    other = list(originals().values())[random.integers(len(originals()))]
    return bytes(content[: random.integers(len(content) + 1)]) + other[random.integers(len(other)) :]


def _png_chunk(random: np.random.Generator, content: bytearray) -> bytes:
    """One chunk is damaged, moved or made another kind, with a checksum that fits."""
    chunks, place = [], 8
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        chunks.append((bytes(content[place + 4 : place + 8]), bytearray(content[place + 8 : place + 8 + length])))
        place += 12 + length
    if not chunks:
        return bytes(content)
    chosen = int(random.integers(len(chunks)))
    kind, data = chunks[chosen]
    action = random.integers(4)
    if action == 0:
        data = bytearray(_numbers(random, data))
    elif action == 1:
        kind = chunks[random.integers(len(chunks))][0]
    elif action == 2:
        data = bytearray(_cut(random, data))
    chunks[chosen] = (kind, data)
    if action == 3:
        chunks.insert(int(random.integers(len(chunks) + 1)), (kind, data))
    packed = [struct.pack(">I", len(d)) + k + bytes(d) + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return bytes(content[:8]) + b"".join(packed)


def _jpeg_segment(random: np.random.Generator, content: bytearray) -> bytes:
    """The marker, the length or a field of one segment before the scan is changed."""
    starts, place = [], 2
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] != 0xDA:
        starts.append(place)
        place += 2 + struct.unpack_from(">H", content, place + 2)[0]
    if not starts:
        return bytes(content)
    start = int(random.choice(starts))
    action = random.integers(3)
    if action == 0:
        content[start + 1] = int(
            random.choice([0xC0, 0xC1, 0xC2, 0xC4, 0xC9, 0xDB, 0xDD, 0xE0, 0xE1, 0xE2, 0xEE, 0xFE])
        )
    elif action == 1:
        struct.pack_into(">H", content, start + 2, int(random.choice([0, 1, 2, 3, 8, 100, 65535])))
    else:
        content[start + 4 + random.integers(16)] = int(random.integers(256))
    return bytes(content)


def _riff_chunk(random: np.random.Generator, content: bytearray) -> bytes:
    """The name or the size of one chunk of a WebP is changed."""
    starts, place = [], 12
    while place + 8 <= len(content):
        starts.append(place)
        place += 8 + struct.unpack_from("<I", content, place + 4)[0] + 1 & ~1
    start = int(random.choice(starts)) if starts else 4
    if random.random() < 0.5:
        kinds = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"ICCP")
        content[start : start + 4] = kinds[random.integers(len(kinds))]
    else:
        content[start + 4 : start + 8] = struct.pack("<I", int(random.choice(NUMBERS)))
    return bytes(content)


def _gif_block(random: np.random.Generator, content: bytearray) -> bytes:
    """A field of the screen, of a frame's header or of an extension is changed."""
    headers = [index for index, byte in enumerate(content) if byte in (0x2C, 0x21)] or [6]
    start = int(random.choice([6, *headers[:20]]))
    place = start + int(random.integers(10))
    content[place : place + 1] = bytes([int(random.integers(256))])
    return bytes(content)


def _tiff_start(content: bytes | bytearray) -> int | None:
    """Where a TIFF begins: at the file's beginning, or in its EXIF block."""
    starts = [content.find(magic) for magic in (b"II*\0", b"MM\0*")]
    return min((start for start in starts if start >= 0), default=None)


def _tiff_entry(random: np.random.Generator, content: bytearray) -> bytes:
    """One entry of a directory is changed, or the pointer to a directory. It may then lie anywhere, or form a loop."""
    start = _tiff_start(content)
    order = "<" if start is not None and content[start : start + 1] == b"I" else ">"
    try:
        (first,) = struct.unpack_from(order + "I", content, start + 4)
        (entries,) = struct.unpack_from(order + "H", content, start + first)
        place = start + first + 2 + 12 * int(random.integers(entries + 1))
        number = int(random.choice([*NUMBERS, first, 8]))
        if random.random() < 0.15:
            struct.pack_into(order + "I", content, start + 4, number)
        elif place == start + first + 2 + 12 * entries:  # the pointer to the next directory
            struct.pack_into(order + "I", content, place, number)
        else:
            field = int(random.choice([0, 2, 4, 8]))
            if field < 4:
                number = (
                    int(random.integers(20)) if field else int(random.choice([256, 259, 273, 274, 279, 322, 34665]))
                )
            struct.pack_into(order + ("H" if field < 4 else "I"), content, place + field, number)
    except (struct.error, TypeError):  # damaged too much already
        return _bits(random, content)
    return bytes(content)
