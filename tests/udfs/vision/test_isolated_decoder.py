"""Decoders that crash, hang or take much memory: each costs its picture, and the next picture is decoded."""

import shutil
import signal
import struct
import sys
import time
import zlib
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import psutil
import pytest
from PIL import Image
from test_decode import BAD_PICTURES, encoded, noise

from udfs.vision import isolated_decoder
from udfs.vision.decode import PhotoLimits, PhotoRefused, decode_photo
from udfs.vision.isolated_decoder import IsolatedDecoder

# Faults of a decoder, which a JPEG's comment asks for. Python imports this module when a process starts.
FAULTS = """
import ctypes, json, os, signal
from PIL import JpegImagePlugin

load = JpegImagePlugin.JpegImageFile.load

def faulty(self):
    fault = self.info.get("comment", b"")
    if fault == b"segfault":
        ctypes.string_at(0)
    if fault == b"abort":
        os.abort()
    if fault == b"exit":
        os._exit(3)
    if fault == b"loop":
        while True:
            pass
    if fault == b"memory":
        blocks = []
        while True:
            blocks.append(bytearray(2**24))
    if fault == b"killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == b"nonsense":
        json.dumps = lambda value: "[" * 60_000
    if fault == b"surrogate":
        raise OSError("the file says \\ud800")
    if fault == b"secrets":
        raise OSError("the secret is " + os.environ.get("AWS_SECRET_ACCESS_KEY", "hidden"))
    return load(self)

JpegImagePlugin.JpegImageFile.load = faulty
"""


def with_fault(fault: str) -> bytes:
    return encoded(noise(), "JPEG", comment=fault.encode())


@pytest.fixture
def faulty_decoder(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(FAULTS)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with closing(IsolatedDecoder(PhotoLimits(max_pixels=1_000_000), cpu_seconds=1)) as decoder:
        yield decoder


def process_of(decoder: IsolatedDecoder) -> psutil.Process:
    decoder.start()
    (child,) = [child for child in psutil.Process().children() if "decoder_process" in " ".join(child.cmdline())]
    return child


def test_pixels_notes_and_refusals_are_those_of_the_functions():
    good = encoded(noise(120, 90), "JPEG")
    with closing(IsolatedDecoder(PhotoLimits())) as decoder:
        assert np.array_equal(decoder.decode(good, (32, 48)).pixels, decode_photo(good, (32, 48)))
        with closing(IsolatedDecoder(PhotoLimits(), "nearest")) as plain:
            assert np.array_equal(plain.decode(good, (32, 48)).pixels, decode_photo(good, (32, 48), resize="nearest"))
        assert decoder.decode(memoryview(BAD_PICTURES["greyscale"]), (20, 30)).notes == ["greyscale"]
        for reason in ("empty_file", "not_an_image", "truncated", "too_small", "too_many_pixels"):
            with pytest.raises(PhotoRefused) as expected:
                decode_photo(BAD_PICTURES[reason], 32)
            with pytest.raises(PhotoRefused) as refused:
                decoder.decode(BAD_PICTURES[reason], (32, 32))
            assert (refused.value.reason, refused.value.details) == (expected.value.reason, expected.value.details)
        child = process_of(decoder)
    assert not child.is_running()


def test_limits_are_those_given():
    with closing(IsolatedDecoder(PhotoLimits(strict=True))) as decoder, pytest.raises(PhotoRefused, match="greyscale"):
        decoder.decode(BAD_PICTURES["greyscale"], (20, 30))


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        ("segfault", "decoder_died", r"crashed \(SIGSEGV\)"),
        ("abort", "decoder_died", r"crashed \(SIGABRT\)"),
        ("exit", "decoder_died", "exit code 3"),
        ("killed", "decoder_died", "memory ran out"),
        ("loop", "decoder_died", r"more than 1 s of processor time"),
        ("nonsense", "decoder_died", "answered nonsense"),
        ("surrogate", "truncated", r"the file says \\ud800"),
        ("memory", "too_much_memory", "more memory than a picture may use"),
    ],
)
def test_a_decoder_that_dies_costs_its_picture(faulty_decoder, fault, reason, words):
    started = time.monotonic()
    with pytest.raises(PhotoRefused, match=words) as refused:
        faulty_decoder.decode(with_fault(fault), (32, 32))
    assert refused.value.reason == reason
    assert time.monotonic() - started < 30
    good = with_fault("none")
    assert np.array_equal(faulty_decoder.decode(good, (32, 32)).pixels, decode_photo(good, 32))


def test_a_decoder_that_was_killed_between_two_pictures_costs_none():
    good = encoded(noise(), "JPEG")
    with closing(IsolatedDecoder(PhotoLimits())) as decoder:
        for _ in range(3):
            assert np.array_equal(decoder.decode(good, (32, 32)).pixels, decode_photo(good, 32))
            child = process_of(decoder)
            child.send_signal(signal.SIGKILL)
            while child.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)


def test_a_decoder_sees_no_secrets_of_the_task(faulty_decoder, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with pytest.raises(PhotoRefused, match="the secret is hidden"):
        faulty_decoder.decode(with_fault("secrets"), (32, 32))


def test_a_decoder_ends_with_the_process_that_started_it():
    decoder = IsolatedDecoder(PhotoLimits())
    decoder.decode(encoded(noise(), "JPEG"), (32, 32))
    child = process_of(decoder)
    decoder._connection.close()  # as the kernel does when the process is killed
    assert child.wait(timeout=10) == 0


def test_an_interrupted_answer_is_not_taken_for_the_next(monkeypatch):
    first, second = (encoded(noise().rotate(angle), "JPEG") for angle in (0, 180))
    with closing(IsolatedDecoder(PhotoLimits())) as decoder:
        decoder.decode(first, (32, 32))
        with monkeypatch.context() as patched:
            patched.setattr(isolated_decoder, "receive", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                decoder.decode(first, (32, 32))
        assert np.array_equal(decoder.decode(second, (32, 32)).pixels, decode_photo(second, 32))


def test_a_decoder_that_cannot_start_is_no_fault_of_the_picture(monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with closing(IsolatedDecoder(PhotoLimits())) as decoder, pytest.raises(RuntimeError, match="did not start"):
        decoder.decode(encoded(noise(), "JPEG"), (32, 32))


def png_with(kind: bytes, data: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    content = encoded(noise())
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content[:33] + chunk + content[33:]


def bombs() -> dict[str, bytes]:
    """Files of a few kilobytes that hold, or claim to hold, up to 400 megapixels or 500 MB of metadata."""
    zeros = zlib.compress(bytes(500_000_000), 9)
    flat = Image.new("RGB", (6000, 6000))
    gif, jpeg = encoded(noise(), "GIF"), encoded(noise(), "JPEG")
    size = jpeg.index(b"\xff\xc0") + 5  # of height and width in the frame's header
    return {
        "png": encoded(Image.new("1", (20_000, 20_000))),
        "jpeg": encoded(flat, "JPEG", progressive=True),
        "webp": encoded(flat, "WEBP", lossless=True, method=0, quality=0),
        "tiff": encoded(flat, "TIFF", compression="tiff_deflate"),
        "gif screen": gif[:6] + b"\xff\xff\xff\xff" + gif[10:],
        "jpeg header": jpeg[:size] + b"\xff\xdc\xff\xdc" + jpeg[size + 4 :],
        "png text": png_with(b"zTXt", b"comment\0\0" + zeros),
        "png profile": png_with(b"iCCP", b"profile\0\0" + zeros),
        "png exif": png_with(b"eXIf", b"II*\0" + b"\xff" * 1000),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel limits address space")
def test_bombs_stay_within_the_memory_that_the_limits_allow():
    limits = PhotoLimits(max_pixels=4_000_000)
    outcomes = {}
    with closing(IsolatedDecoder(limits)) as decoder:
        decoder.decode(encoded(noise(), "JPEG"), (32, 32))
        child = process_of(decoder)
        before = child.memory_info().rss
        for name, bomb in bombs().items():
            assert len(bomb) < 700_000
            try:
                outcomes[name] = decoder.decode(bomb, (32, 32)).notes
            except PhotoRefused as refused:
                outcomes[name] = refused.reason
        assert process_of(decoder) == child
        peak = int(Path(f"/proc/{child.pid}/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
    large = dict.fromkeys(["png", "jpeg", "webp", "tiff", "gif screen", "jpeg header"], "too_many_pixels")
    assert outcomes == large | {
        "png text": "too_much_text",
        "png profile": "too_much_text",
        "png exif": outcomes["png exif"],
    }
    assert peak - before < 2**27 < 2**28 + 16 * limits.max_pixels


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel limits address space")
def test_a_format_that_is_unpacked_before_its_size_is_known_is_bounded_by_the_process(tmp_path):
    pytest.importorskip("pillow_jxl")
    bomb = encoded(Image.new("RGB", (12_000, 6000)), "JXL", effort=1)
    with closing(IsolatedDecoder(PhotoLimits(max_pixels=100_000))) as decoder:
        with pytest.raises(PhotoRefused):
            decoder.decode(bomb, (32, 32))
        good = encoded(noise(), "JPEG")
        assert np.array_equal(decoder.decode(good, (32, 32)).pixels, decode_photo(good, 32))
