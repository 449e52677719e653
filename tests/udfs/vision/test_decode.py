import io
import struct
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image, ImageChops
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngInfo

from udfs.vision.decode import PhotoLimits, PhotoRefused, decode_photo, decode_with_notes, thumbnail
from udfs.vision.picture_formats import readable_formats


def encoded(picture: Image.Image, form: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def noise(height: int = 50, width: int = 70) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), "uint8"))


BAD_PICTURES = {
    "empty_file": b"",
    "not_an_image": b"<html>no picture</html>",
    "truncated": encoded(noise(), "JPEG")[:1500],
    "cmyk": encoded(noise().convert("CMYK"), "JPEG"),
    "greyscale": encoded(noise().convert("L"), "JPEG"),
    "sixteen_bit": encoded(Image.fromarray(np.full((40, 40), 40_000, "uint16"))),
    "animated": encoded(noise(), "GIF", save_all=True, append_images=[noise().rotate(90)]),
    "too_small": encoded(Image.new("RGB", (1, 1))),
    "too_many_pixels": encoded(Image.new("RGB", (9000, 9000))),
}


STRICT = PhotoLimits(strict=True)
CONVERTED = ["cmyk", "greyscale", "sixteen_bit", "animated"]  # refused by STRICT only


@pytest.mark.parametrize("reason", BAD_PICTURES)
def test_bad_picture_is_refused_with_its_reason(reason):
    with pytest.raises(PhotoRefused) as refused:
        decode_photo(BAD_PICTURES[reason], 32, STRICT)
    assert refused.value.reason == reason


@pytest.mark.parametrize("reason", CONVERTED)
def test_other_colour_modes_are_converted_with_a_note(reason):
    photo = decode_with_notes(BAD_PICTURES[reason], 32, PhotoLimits())
    assert photo.notes == [reason]
    assert photo.pixels.shape == (32, 32, 3)
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.max() > 100


def test_a_plain_photo_has_no_note():
    assert decode_with_notes(encoded(noise(), "JPEG"), 32, PhotoLimits()).notes == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.full((40, 40), 65535, "uint16"), 255),
        (np.full((40, 40), 257 * 100, "uint16"), 100),
        (np.full((40, 40), 0.2, "float32"), 51),  # of 1, as float TIFFs are
        (np.full((40, 40), np.nan, "float32"), 0),
    ],
)
def test_deep_values_become_8_bits(values, expected):
    form = "PNG" if values.dtype == "uint16" else "TIFF"
    assert set(np.unique(decode_photo(encoded(Image.fromarray(values), form), 32))) == {expected}


def test_16_bits_of_a_big_endian_tiff():
    pixels = decode_photo(big_endian_tiff(257 * 100), 32)
    assert set(np.unique(pixels)) == {100}


@pytest.mark.parametrize("tags", [{50706: (1, 4, 0, 0)}, {254: 1, 330: 8}])
def test_the_preview_in_a_cameras_raw_file_is_no_photo(tags):
    content = encoded(noise(), "TIFF", tiffinfo=tags)
    with pytest.raises(PhotoRefused, match="camera_raw: the TIFF is a preview in a camera's raw file"):
        decode_photo(content, 32)


def big_endian_tiff(value: int, side: int = 32) -> bytes:
    """A greyscale TIFF of one 16-bit value, in Motorola's byte order."""
    pixels = struct.pack(">H", value) * side**2
    entries = [(256, 3, side), (257, 3, side), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, side),
               (279, 4, len(pixels))]  # fmt: skip
    packed = b"".join(
        struct.pack(">HHI", tag, kind, 1) + (struct.pack(">HH", number, 0) if kind == 3 else struct.pack(">I", number))
        for tag, kind, number in entries
    )
    return b"MM\0*" + struct.pack(">I", 8 + len(pixels)) + pixels + struct.pack(">H", len(entries)) + packed + bytes(4)


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_jpegs_store_ink_inverted_only_if_adobe_wrote_them(adobe):
    """Pure cyan. The values of a JPEG with Adobe's marker are inverted, those of other CMYK JPEGs are not."""
    ink = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    content = encoded(ink if adobe else ImageChops.invert(ink), "JPEG", quality=95)
    if not adobe:
        start = content.index(b"\xff\xee")
        content = content[:start] + content[start + 2 + struct.unpack(">H", content[start + 2 : start + 4])[0] :]
        assert b"Adobe" not in content
    red, green, blue = decode_photo(content, 32)[16, 16]
    assert red < 10
    assert min(green, blue) > 245


def test_a_bomb_is_refused_before_it_is_decoded():
    bomb = encoded(Image.new("1", (20_000, 20_000)))  # 400 megapixels in 50 kB
    with pytest.raises(PhotoRefused, match="too_many_pixels"):
        decode_photo(bomb, 32)


def test_pixels_equal_those_of_keras(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(noise(120, 90), "JPEG"))
    expected = keras.utils.img_to_array(keras.utils.load_img(path, target_size=(32, 48)))
    assert np.array_equal(decode_photo(path.read_bytes(), (32, 48), resize="nearest"), expected)


@pytest.mark.parametrize("mode", ["RGB", "P", "L", "RGBA"])
def test_a_fine_pattern_becomes_its_average_with_antialiasing(mode):
    """Columns of black and white, 5 to a pixel of the result. One of them at a time is all that `nearest` sees."""
    columns = np.zeros((160, 320), "uint8")
    columns[:, ::2] = 255
    content = encoded(Image.fromarray(columns).convert(mode))
    antialiased = decode_photo(content, (32, 64))
    assert np.abs(antialiased[:, 1:-1].astype(int) - 127).max() <= 26, "within a fifth of the columns"
    assert set(np.unique(decode_photo(content, (32, 64), resize="nearest"))) == {0, 255}


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_at_a_smaller_scale_and_looks_the_same(orientation):
    """A smooth picture, of which a reduced scale keeps everything, also if EXIF says that it lies on its side."""
    down, across = np.mgrid[0:1200, 0:1600] / 1600
    values = np.stack([down, across, (down + across) / 2], axis=2)
    picture = Image.fromarray((values * 255).astype("uint8"))
    exif = picture.getexif()
    exif[0x0112] = orientation
    pixels = decode_photo(encoded(picture, "JPEG", quality=95, exif=exif.tobytes()), (48, 64))
    upright = picture if orientation == 1 else picture.transpose(Image.Transpose.ROTATE_270)
    expected = np.asarray(upright.resize((64, 48), Image.Resampling.BOX)).astype(int)
    assert np.abs(pixels - expected).max() <= 4


@pytest.mark.parametrize("progressive", [False, True])
def test_a_large_jpeg_that_lacks_pixels_is_refused_also_at_a_smaller_scale(progressive):
    content = encoded(noise(800, 1200), "JPEG", progressive=progressive)
    for kept in (0.5, 0.95):
        with pytest.raises(PhotoRefused, match="truncated"):
            decode_photo(content[: int(kept * len(content))], 32)


ORIENTED = ["JPEG", "PNG", "WEBP", "TIFF"]


@pytest.mark.parametrize("form", ORIENTED)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, form):
    """Four corners of different colours, stored as a camera in each of its eight positions stores them."""
    upright = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], "uint8")
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1), 7: upright[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    picture = Image.fromarray(np.ascontiguousarray(stored)).resize((48, 48), Image.Resampling.NEAREST)
    exif = picture.getexif()
    exif[0x0112] = orientation
    pixels = decode_photo(encoded(picture, form, exif=exif.tobytes(), quality=95), 48).astype(int)
    corners = pixels[[8, 8, 40, 40], [8, 40, 8, 40]].reshape(2, 2, 3)
    assert np.abs(corners - upright).max() < 40


def test_the_first_picture_of_a_phones_mpo_is_used():
    first, second = Image.new("RGB", (64, 48), "red"), Image.new("RGB", (64, 48), "blue")
    content = encoded(first, "MPO", save_all=True, append_images=[second])
    with Image.open(io.BytesIO(content)) as picture:
        assert (picture.format, picture.n_frames) == ("MPO", 2)
    for limits in (PhotoLimits(), STRICT):
        photo = decode_with_notes(content, 32, limits)
        assert photo.pixels[16, 16, 0] > 250
        assert photo.notes == []


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("limits", [PhotoLimits(), STRICT])
def test_a_jpeg_without_its_last_two_bytes_has_all_its_pixels(progressive, limits):
    content = encoded(noise(), "JPEG", progressive=progressive)
    for cut in (1, 2):
        photo = decode_with_notes(content[:-cut], (50, 70), limits)
        assert np.array_equal(photo.pixels, decode_photo(content, (50, 70)))
        assert photo.notes == ["no_end_marker"]
    for cut in (4, 8, 100):
        with pytest.raises(PhotoRefused, match="truncated: OSError: image file is truncated"):
            decode_photo(content[:-cut], 32, limits)


def with_exif(content: bytes, exif: bytes) -> bytes:
    """A JPEG with the bytes as its EXIF block."""
    block = b"Exif\0\0" + exif
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]


def test_a_photo_whose_exif_is_garbage_is_refused_in_the_decoders_words():
    with pytest.raises(PhotoRefused, match="bad_exif: SyntaxError: not a TIFF file"):
        decode_photo(with_exif(encoded(noise(), "JPEG"), b"garbage" * 20), 32)


def tiff_with_next_page(pointer: int) -> bytes:
    content = bytearray(encoded(noise(), "TIFF"))
    (start,) = struct.unpack("<I", content[4:8])
    (entries,) = struct.unpack("<H", content[start : start + 2])
    end = start + 2 + 12 * entries
    return bytes(content[:end] + struct.pack("<I", pointer) + content[end + 4 :])


def test_a_tiff_whose_next_page_lies_beyond_the_file_is_its_first_page():
    content = tiff_with_next_page(10**8)
    photo = decode_with_notes(content, (50, 70), PhotoLimits())
    assert np.array_equal(photo.pixels, np.asarray(noise()))
    assert photo.notes == ["animated"]
    with pytest.raises(PhotoRefused, match=r"animated: .*corpus\.strict=false"):
        decode_photo(content, 32, STRICT)


@pytest.mark.parametrize("error", [RecursionError, MemoryError, struct.error, KeyError, AssertionError, BaseException])
@pytest.mark.parametrize("step", [(JpegImageFile, "load"), (Image.Image, "getexif"), (Image.Image, "resize")])
def test_any_exception_of_a_decoder_is_the_photos_refusal(monkeypatch, step, error):
    def fail(self, *arguments, **options):
        raise error("the decoder's words")

    content = encoded(noise(), "JPEG")
    monkeypatch.setattr(*step, fail)
    with pytest.raises(PhotoRefused) as refused:
        decode_photo(content, 32)
    assert "memory" in refused.value.details if error is MemoryError else "decoder's words" in refused.value.details


def test_an_interrupt_is_no_refusal(monkeypatch):
    def interrupt(self, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(JpegImageFile, "load", interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode_photo(encoded(noise(), "JPEG"), 32)


@pytest.mark.parametrize("compressed", [True, False])
def test_a_png_with_3_mb_of_text_is_refused_in_words(compressed):
    """Compressed text is refused; Pillow reads plain text of this size without harm."""
    text = PngInfo()
    text.add_text("comment", "x" * 3_000_000, zip=compressed)
    content = encoded(noise(), "PNG", pnginfo=text)
    if compressed:
        with pytest.raises(PhotoRefused, match="too_much_text: the PNG holds more than 1 MB of text or profiles"):
            decode_photo(content, 32)
    else:
        assert np.array_equal(decode_photo(content, (50, 70)), np.asarray(noise()))


def test_a_thumbnail_holds_no_metadata():
    content = with_exif(encoded(noise(), "JPEG", comment=b"private"), b"II*\0" + bytes(8))
    small = thumbnail(content, PhotoLimits(), 32)
    assert b"private" not in small
    assert b"Exif" not in small


PLUGIN_FORMATS = {"HEIF": "heic", "AVIF": "avif", "JXL": "jpeg_xl"}
PLUGIN_NAMES = {"HEIF": "HEIC", "AVIF": "AVIF", "JXL": "JPEG XL"}
without_plugins = """
import sys
from PIL import features
sys.modules["pillow_heif"] = sys.modules["pillow_jxl"] = None  # an import fails as if they were not installed
features.check = lambda name: False
from udfs.vision.decode import PhotoLimits, PhotoRefused, decode_photo
for name in sys.argv[1:]:
    try:
        decode_photo(open(name, "rb").read(), 32)
    except PhotoRefused as refused:
        print(refused)
"""


@pytest.mark.parametrize("form", PLUGIN_FORMATS)
def test_formats_of_plugins_are_read_where_they_are_installed(form):
    assert form in readable_formats()
    content = encoded(Image.new("RGB", (64, 48), (200, 100, 50)), form, quality=95)
    photo = decode_with_notes(content, 32, STRICT)
    assert np.abs(photo.pixels.astype(int) - (200, 100, 50)).max() < 8
    assert photo.notes == []


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", PLUGIN_FORMATS)
def test_exif_orientation_is_applied_once_in_formats_of_plugins(orientation, form):
    test_exif_orientation_is_applied(orientation, form)


def test_formats_of_plugins_are_named_where_they_are_not_installed(tmp_path):
    files = {form: tmp_path / form for form in readable_formats() if form in PLUGIN_FORMATS}
    for form, file in files.items():
        file.write_bytes(encoded(noise(), form))
    command = [sys.executable, "-c", without_plugins, *map(str, files.values())]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for form, line in zip(files, lines, strict=True):
        assert line.startswith(f"{PLUGIN_FORMATS[form]}: the file is a picture in {PLUGIN_NAMES[form]} format")
        assert "pip install 'captioner-on-spark[formats]'" in line


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg_2000", "JPEG 2000"),
        (b"\0\0\0\x18ftypmp42", "video", "MP4"),
        (b"%PDF-1.4", "not_an_image", "PDF"),
        (b"<?xml version='1.0'?>\n<svg xmlns=''>", "not_an_image", "SVG"),
        (b"\n<!DOCTYPE html>", "not_an_image", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1", "not_an_image", "Git LFS pointer"),
        (b"PK\x03\x04", "not_an_image", "archive"),
        (b"8BPS\0\x01", "photoshop", "Photoshop"),
        (
            b"\xff\xd8\xff\xe0",
            "not_an_image",
            "begins like a JPEG file, but the decoder reports: SyntaxError",
        ),
        (b"II*\0\x08", "not_an_image", "begins like a TIFF file, but the decoder reports: SyntaxError"),
        (b"nothing of the kind", "not_an_image", "no JPEG, PNG, .* picture in 19 bytes"),
    ],
)
def test_files_that_are_no_photos_are_named_for_what_they_are(content, reason, words):
    with pytest.raises(PhotoRefused, match=words) as refused:
        decode_photo(content, 32)
    assert refused.value.reason == reason
