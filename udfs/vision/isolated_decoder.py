"""Decodes pictures in a process of its own, so that a decoder that crashes costs one picture and not the task."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict

import numpy as np

from udfs.vision.decode import ANTIALIAS, Photo, PhotoLimits, PhotoRefused, well_formed
from udfs.vision.decoder_process import ANSWER, READY, REQUEST, receive, receive_into, send

# What a decoder needs of its environment. The rest, which may hold secrets, is kept from it.
ENVIRONMENT = {"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "VIRTUAL_ENV", "HOME", "TMPDIR", "LANG"}
CPU_SECONDS = 60  # for one picture; a progressive JPEG of 50 megapixels takes about 3
WAIT = 10  # times the processor time: a decoder that waits for a processor all this time is given up
START_SECONDS = 120
MOST_DESCRIPTION = 2**16  # bytes


class DecoderDied(Exception):
    """The decoder's process answered nonsense; the argument says so."""


class IsolatedDecoder:
    """A process that decodes one picture at a time. It starts with the first picture, and again if it dies.

        decoder = IsolatedDecoder(PhotoLimits())
        photo = decoder.decode(content, (224, 224))

    Its memory is bounded by `PhotoLimits.max_pixels` (see `decoder_process.BYTES_A_PIXEL`).

    Args:
        limits: Which pictures are accepted.
        resize: How pictures are resized; see `decode_photo`.
        cpu_seconds: Processor time that a picture may take.
    """

    def __init__(self, limits: PhotoLimits, resize: str = ANTIALIAS, cpu_seconds: float = CPU_SECONDS):
        self._limits, self._resize, self._cpu_seconds = limits, resize, cpu_seconds
        self._process: subprocess.Popen | None = None
        self._connection: socket.socket | None = None
        self._ready = False

    def start(self) -> None:
        """Starts the process, without waiting until it is ready. It need not be called."""
        if self._process is not None:
            return
        self._connection, other = socket.socketpair()
        self._connection.settimeout(START_SECONDS)
        environment = {name: value for name, value in os.environ.items() if name in ENVIRONMENT}
        environment |= {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        command = [sys.executable, "-P", "-m", "udfs.vision.decoder_process", str(other.fileno())]
        with other:
            self._process = subprocess.Popen(
                [*command, json.dumps(asdict(self._limits)), str(self._cpu_seconds), self._resize],
                pass_fds=[other.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment,
            )  # fmt: skip

    def decode(self, content: bytes | memoryview, size: tuple[int, int]) -> Photo:
        """Does the same as `decode_with_notes`.

        A decoder may die for a cause other than the picture, so the picture is tried a second time.

        Raises:
            PhotoRefused: The file is not an accepted picture, or its decoder crashed, hung or used too much memory.
        """
        for _ in range(2):
            self._wait_until_ready()
            try:
                return self._ask(content, size)
            except PhotoRefused:
                raise
            except (DecoderDied, OSError, EOFError) as error:
                code = self._end()
                words = self._words(code, error)
                if code == -signal.SIGPROF or isinstance(error, TimeoutError):
                    break  # a second try would take as long
            except BaseException:  # an interrupt: the next answer would be that of this picture
                self._end()
                raise
        raise PhotoRefused("decoder_died", words)

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._end()

    def _wait_until_ready(self) -> None:
        self.start()
        if self._ready:
            return
        try:
            self._ready = receive(self._connection, len(READY)) == READY
        except (OSError, EOFError) as error:
            raise RuntimeError(f"the process that decodes photos did not start: exit code {self._end()}") from error
        self._connection.settimeout(WAIT * self._cpu_seconds)

    def _ask(self, content: bytes | memoryview, size: tuple[int, int]) -> Photo:
        send(self._connection, REQUEST.pack(len(content), *size), content)
        described, length = ANSWER.unpack(receive(self._connection, ANSWER.size))
        pixels = np.empty((*size, 3), "uint8")
        if described > MOST_DESCRIPTION or length not in (0, pixels.nbytes):
            raise DecoderDied("the decoder answered nonsense")
        try:
            description = json.loads(receive(self._connection, described))
            if length:
                photo = Photo(pixels, [well_formed(str(note)) for note in description["notes"]])
            else:
                refused = PhotoRefused(str(description["reason"]), str(description["details"]))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DecoderDied("the decoder answered nonsense") from error
        if not length:
            raise refused
        receive_into(self._connection, memoryview(pixels).cast("B"))
        return photo

    def _end(self) -> int:
        """Ends the process if it still runs, and returns its exit code; the next picture starts another."""
        process, self._process, self._ready = self._process, None, False
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=1)  # one that crashes may still be about to end
        process.kill()
        return process.wait()

    def _words(self, code: int, error: Exception) -> str:
        if code == -signal.SIGPROF:
            return f"decoding takes more than {self._cpu_seconds} s of processor time"
        if isinstance(error, TimeoutError):
            return f"decoding took more than {WAIT * self._cpu_seconds} s"
        if isinstance(error, DecoderDied):
            return str(error)
        if code == -signal.SIGKILL:
            return "the decoder was killed (SIGKILL), perhaps because memory ran out"
        if code < 0:
            return f"the decoder crashed ({signal.Signals(-code).name})"
        return f"the decoder ended with exit code {code}"
