"""The process in which `udfs.vision.isolated_decoder` decodes pictures; its messages, and the limits that it sets itself.

A request is a header and the file's bytes. An answer is a header, a description in JSON and the pixels: no pickles, because a
picture that takes over a decoder must not take over the task that reads its answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import struct
import sys
import warnings
from typing import Any

import numpy as np
from PIL import Image

from udfs.vision.decode import PhotoLimits, PhotoRefused, decode_with_notes
from udfs.vision.picture_formats import readable_formats

REQUEST = struct.Struct("<QII")  # bytes of the file; height and width of the pixels
ANSWER = struct.Struct("<II")  # bytes of the description and of the pixels
READY = b"\x01"
# The largest need of an accepted picture: a WebP is held three times with 4 bytes a pixel, a progressive JPEG twice and once as
# 16-bit coefficients, 16-bit values once more as floats.
BYTES_A_PIXEL = 16
SPARE_BYTES = 256 * 2**20
LIMITS_MEMORY = sys.platform == "linux"  # elsewhere the address space cannot be limited reliably


def serve(descriptor: int, limits: PhotoLimits, cpu_seconds: float, resize: str) -> None:
    """Decodes pictures until the other end of the socket is closed.

    Args:
        descriptor: File descriptor of a connected stream socket.
        limits: Which pictures are accepted. They also bound the memory of this process.
        cpu_seconds: Processor time that a picture may take. A picture that takes more ends the process.
        resize: How pictures are resized; see `decode_photo`.
    """
    readable_formats()  # imports the decoders before memory is limited
    Image.init()
    needed = _limit_process(limits)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stderr.fileno())  # libtiff prints a line for each defect that it finds
    with socket.socket(fileno=descriptor) as connection:
        connection.sendall(READY)
        while True:
            try:
                length, height, width = REQUEST.unpack(receive(connection, REQUEST.size))
            except EOFError:
                return
            _limit_memory(needed + 4 * length)
            content = receive(connection, length)
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # SIGPROF ends the process, also inside a decoder
            description, pixels = _answer(content, (height, width), limits, resize)
            signal.setitimer(signal.ITIMER_PROF, 0)
            encoded = json.dumps(description).encode()
            send(connection, ANSWER.pack(len(encoded), len(pixels)) + encoded, pixels)


def send(connection: socket.socket, header: bytes, body: bytes | memoryview) -> None:
    """Sends both, in one message if possible, so that the other end wakes up once."""
    sent = connection.sendmsg([header, body])
    if sent < len(header):
        connection.sendall(header[sent:])
    rest = memoryview(body)[max(sent - len(header), 0) :]
    if rest:
        connection.sendall(rest)


def receive(connection: socket.socket, length: int) -> bytearray:
    """Reads exactly `length` bytes. Raises EOFError if the other end is closed before."""
    content = bytearray(length)
    receive_into(connection, memoryview(content))
    return content


def receive_into(connection: socket.socket, target: memoryview) -> None:
    """Fills a buffer. Raises EOFError if the other end is closed before it is full."""
    while target.nbytes:
        count = connection.recv_into(target)
        if not count:
            raise EOFError("the other end of the socket was closed")
        target = target[count:]


def _answer(
    content: bytes, size: tuple[int, int], limits: PhotoLimits, resize: str
) -> tuple[dict[str, Any], memoryview | bytes]:
    try:
        photo = decode_with_notes(content, size, limits, resize)
        return {"notes": photo.notes}, np.ascontiguousarray(photo.pixels).data.cast("B")
    except PhotoRefused as refused:
        return {"reason": refused.reason, "details": refused.details}, b""


def _limit_process(limits: PhotoLimits) -> int:
    """Sets what holds for every picture. Returns how many bytes may be mapped, without the picture's file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the job, which closes the socket
    Image.MAX_IMAGE_PIXELS = limits.max_pixels  # Pillow checks it again wherever a file states a second size
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not LIMITS_MEMORY:
        return 0
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # if the machine's memory runs out, the kernel ends this process and not the task
    with open("/proc/self/statm") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    return mapped + SPARE_BYTES + BYTES_A_PIXEL * limits.max_pixels


def _limit_memory(most: int) -> None:
    if LIMITS_MEMORY:
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(int(sys.argv[1]), PhotoLimits(**json.loads(sys.argv[2])), float(sys.argv[3]), sys.argv[4])
    os._exit(0)
