"""Which picture formats are read, and what a file is by its first bytes."""

from __future__ import annotations

import importlib
import importlib.util
import io
import re
from functools import cache

from PIL import Image, features

from udfs.errors import one_line

INSTALL = "pip install 'captioner-on-spark[formats]' on the driver and on every executor"
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2"),
)
# Formats that Pillow reads only with a plug-in: its module, and the function that registers it (None: the import does).
PLUGINS = {"HEIF": ("pillow_heif", "register_heif_opener"), "JXL": ("pillow_jxl", None)}
NEW_SUBFILE_TYPE, SUB_DIRECTORIES, DNG_VERSION, CR2_SLICES = 254, 330, 50706, 50752  # tags of TIFF
# Brands in the first box of files in ISO's base media format.
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")
# (pattern of the first bytes, reason of a refusal, what the file is, and Pillow's name of its format, if it is read).
KINDS = (
    (rb"\xff\xd8\xff", "not_an_image", "JPEG", "JPEG"),
    (rb"\x89PNG\r\n", "not_an_image", "PNG", "PNG"),
    (rb"GIF8[79]a", "not_an_image", "GIF", "GIF"),
    (rb"RIFF....WEBP", "not_an_image", "WebP", "WEBP"),
    (rb"(II\*\0|MM\0\*|II\+\0|MM\0\+)", "not_an_image", "TIFF", "TIFF"),
    (rb"BM", "not_an_image", "BMP", "BMP"),
    (rb"....ftyp(%s)" % b"|".join(AVIF_BRANDS), "avif", "AVIF", "AVIF"),
    (rb"....ftyp(%s)" % b"|".join(HEIF_BRANDS), "heic", "HEIC", "HEIF"),
    (rb"(\xff\x0a|\0\0\0\x0cJXL )", "jpeg_xl", "JPEG XL", "JXL"),
    (rb"(\0\0\0\x0cjP  |\xff\x4f\xff\x51)", "jpeg_2000", "a JPEG 2000 picture", None),
    (rb"....ftypcrx ", "camera_raw", "a camera raw file", None),
    (rb"....ftyp", "video", "an MP4 or QuickTime video", None),
    (rb"(RIFF....AVI |\x1a\x45\xdf\xa3)", "video", "an AVI or Matroska video", None),
    (rb"8BPS", "photoshop", "a Photoshop document", None),
    (rb"(FUJIFILMCCD-RAW|IIU\0|IIR[OS])", "camera_raw", "a camera raw file", None),
    (rb"%PDF", "not_an_image", "a PDF document", None),
    (rb"version https://git-lfs", "not_an_image", "a Git LFS pointer, whose file was not fetched", None),
    (rb"(PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf)", "not_an_image", "a compressed archive", None),
    (rb"(?i)\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg", "not_an_image", "an SVG drawing", None),
    (rb"(?i)\s*<(!doctype )?html", "not_an_image", "an HTML page", None),
)  # fmt: skip


@cache
def readable_formats() -> tuple[str, ...]:
    """Pillow's names of the formats that this process reads. Registers the plug-ins that are installed."""
    formats = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"]
    if features.check("avif"):
        formats.append("AVIF")
    for name, (module, register) in PLUGINS.items():
        if _register(module, register):
            formats.append(name)
    return tuple(formats)


def why_not_readable(content: bytes) -> tuple[str, str]:
    """(reason, details) for a file that Pillow does not recognise as a picture, from its first bytes."""
    for pattern, reason, kind, name in KINDS:
        if not re.match(pattern, content[:512], re.DOTALL):
            continue
        if name in readable_formats():
            return "not_an_image", f"it begins like a {kind} file, but the decoder reports: {_words_of(name, content)}"
        if name in PLUGINS or name == "AVIF":
            return reason, f"the file is a picture in {kind} format, which Pillow reads only with a plug-in; {INSTALL}"
        return reason, f"the file is {kind}, expected a photo, such as a JPEG"
    return "not_an_image", f"no {', '.join(readable_formats())} picture in {len(content)} bytes"


def is_camera_raw(picture: Image.Image) -> bool:
    """Whether a picture that was opened as a TIFF is the preview in a camera's raw file (DNG, NEF, ARW, CR2, ...)."""
    tags = getattr(picture, "tag_v2", {})
    is_preview = bool(tags.get(NEW_SUBFILE_TYPE, 0) & 1)
    return DNG_VERSION in tags or (is_preview and SUB_DIRECTORIES in tags) or CR2_SLICES in tags


def _words_of(name: str, content: bytes) -> str:
    """What a format's decoder has against a file. `Image.open` hides it."""
    Image.init()
    try:
        Image.OPEN[name][0](io.BytesIO(content), "")
    except Exception as error:
        return one_line(error)
    return "the header cannot be read"


def _register(module: str, register: str | None) -> bool:
    if importlib.util.find_spec(module) is None:
        return False
    try:
        plugin = importlib.import_module(module)
        if register is not None:
            getattr(plugin, register)()
    except (ImportError, OSError, AttributeError):  # built for another Pillow, or its library does not load
        return False
    return True
