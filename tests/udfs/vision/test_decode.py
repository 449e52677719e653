import io

import keras
import numpy as np
import pytest
from PIL import Image

from udfs.vision.decode import PhotoLimits, PhotoRefused, decode_photo


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


@pytest.mark.parametrize("reason", BAD_PICTURES)
def test_bad_picture_is_refused_with_its_reason(reason):
    with pytest.raises(PhotoRefused) as refused:
        decode_photo(BAD_PICTURES[reason], 32)
    assert refused.value.reason == reason


@pytest.mark.parametrize("reason", ["cmyk", "greyscale", "sixteen_bit", "animated"])
def test_other_colour_modes_are_converted_on_request(reason):
    pixels = decode_photo(BAD_PICTURES[reason], 32, PhotoLimits(convert=True))
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    assert pixels.max() > 100


def test_a_bomb_is_refused_before_it_is_decoded():
    bomb = encoded(Image.new("1", (20_000, 20_000)))  # 400 megapixels in 50 kB
    with pytest.raises(PhotoRefused, match="too_many_pixels"):
        decode_photo(bomb, 32)


def test_pixels_equal_those_of_keras(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(noise(120, 90), "JPEG"))
    expected = keras.utils.img_to_array(keras.utils.load_img(path, target_size=(32, 48)))
    assert np.array_equal(decode_photo(path.read_bytes(), (32, 48)), expected)


def test_exif_orientation_is_applied():
    picture = Image.new("RGB", (60, 30), "blue")
    picture.paste("red", (0, 0, 30, 30))
    exif = picture.getexif()
    exif[0x0112] = 6  # the camera was turned: what is on the left was up
    pixels = decode_photo(encoded(picture, "JPEG", exif=exif), 32)
    assert pixels[2, 16, 0] > 200
    assert pixels[-3, 16, 2] > 200
