"""Small files and folders through Hadoop's file systems: a job can use every place that Spark can."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlparse

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from udfs import files

T = TypeVar("T")


def absolute(path: str) -> str:
    """Returns a relative local path as an absolute `file:` URI, and any other path or URI unchanged."""
    if urlparse(path).scheme or path.startswith("/"):
        return path
    return "file://" + os.path.abspath(path)


@dataclass(frozen=True)
class ListedFile:
    """A file below a folder.

    Attributes:
        name: Its path below the folder. Bytes that are no UTF-8 are surrogates, as in Python's own file names.
        length: Its size in bytes.
        problem: Why it cannot be read, if the listing shows that; otherwise empty.
    """

    name: str
    length: int
    problem: str = ""


def escaped(path: str) -> str:
    """A path that Spark's readers do not take for a pattern."""
    return re.sub(r"([\\*?\[\]{}])", r"\\\1", path)


class HadoopFiles:
    """The few file operations that tables and run folders need. Paths are local paths or URIs.

    Raises OSError, FileNotFoundError or FileExistsError in place of Java's exceptions.
    """

    def __init__(self, spark: SparkSession):
        self._jvm: Any = spark.sparkContext._jvm
        self._configuration = spark.sparkContext._jsc.hadoopConfiguration()

    def qualified(self, path: str) -> str:
        """Returns a path with its scheme and authority, in the form of Spark's `path` columns."""
        return self._call(lambda system, java_path: str(system.makeQualified(java_path).toString()), path)

    def exists(self, path: str) -> bool:
        if local := self.local(path):  # Python opens names that the JVM's encoding of file names does not hold
            return os.path.exists(local)
        return self._call(lambda system, java_path: bool(system.exists(java_path)), path)

    def is_folder(self, path: str) -> bool:
        """Tells whether a folder exists at a path; False for a file."""
        if local := self.local(path):
            return os.path.isdir(local)
        return self._call(
            lambda system, java_path: bool(system.exists(java_path) and system.getFileStatus(java_path).isDirectory()),
            path,
        )

    def rename(self, path: str, new: str) -> None:
        """Renames a file or folder; nothing may exist at the new path."""
        if not self._call(lambda system, java_path: system.rename(java_path, self._path(new)), path):
            raise OSError(f"{path}: could not be renamed to {new}")

    def make_folder(self, path: str) -> None:
        """Creates a folder and its parents; does nothing if it exists."""
        if not self._call(lambda system, java_path: system.mkdirs(java_path), path):
            raise OSError(f"{path}: could not create the folder")

    def delete(self, path: str) -> None:
        """Deletes a file, or a folder with all its contents; does nothing if the path does not exist."""
        self._call(lambda system, java_path: system.delete(java_path, True), path)

    def children(self, path: str) -> list[tuple[str, bool]]:
        """Returns (name, is a folder) for each entry of a folder, ordered by name."""
        if local := self.local(path):
            with os.scandir(local) as found:
                return sorted((entry.name, entry.is_dir()) for entry in found if not _is_checksum(entry.name))
        entries = self._call(lambda system, java_path: system.listStatus(java_path), path)
        return sorted((entry.getPath().getName(), entry.isDirectory()) for entry in entries)

    def files_below(self, path: str) -> list[ListedFile]:
        """Lists all files in a folder and in the folders below it, ordered by name, with hidden files and any names.

        Local folders are listed by Python. On other stores, a name that Hadoop cannot use in a path is not found.
        """
        local = self.local(path)
        files = _local_files(local, "", ()) if local else self._remote_files(path.rstrip("/"), "")
        return sorted(files, key=lambda file: file.name)

    def file_count(self, path: str) -> int:
        """Returns how many files a folder holds, with those in the folders below it."""
        return self._call(lambda system, java_path: int(system.getContentSummary(java_path).getFileCount()), path)

    def sha256(self, path: str) -> str:
        """Returns the SHA-256 of a file's content, in hexadecimal digits."""
        if local := self.local(path):
            with open(local, "rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        return hashlib.sha256(self.read_bytes(path)).hexdigest()

    def modified(self, path: str) -> float:
        """Returns the modification time of a file or folder, in seconds since 1970."""
        status = self._call(lambda system, java_path: system.getFileStatus(java_path), path)
        return float(status.getModificationTime() / 1000)

    def read_text(self, path: str) -> str:
        return self.read_bytes(path).decode()

    def read_bytes(self, path: str, most: int = 2**31 - 1) -> bytes:
        """Returns the first `most` bytes of a file, or all of a shorter one."""
        if local := self.local(path):
            with open(local, "rb") as file:
                return file.read(most)

        def read(system: Any, java_path: Any) -> bytes:
            stream = system.open(java_path)
            try:
                return bytes(stream.readNBytes(most))
            finally:
                stream.close()

        return self._call(read, path)

    def create_text(self, path: str, text: str) -> None:
        """Writes a new file. If several writers try at once, one succeeds and the others get FileExistsError."""
        if local := self.local(path):  # Hadoop's local file system checks first and creates later
            files.create_bytes(local, text.encode())
        else:
            self._create(path, text)

    def replace_text(self, path: str, text: str) -> None:
        """Replaces a file atomically: a reader gets the old text or the new one."""
        if local := self.local(path):  # Hadoop's local file system deletes the old file first
            files.write_text(local, text)
            return
        temporary = f"{path}.{os.urandom(6).hex()}.tmp"
        self._create(temporary, text)
        options = self._jvm.org.apache.hadoop.fs.Options
        overwrite = self._jvm.java.lang.reflect.Array.newInstance(options.Rename.OVERWRITE.getClass(), 1)
        self._jvm.java.lang.reflect.Array.set(overwrite, 0, options.Rename.OVERWRITE)

        def rename(_: Any, java_path: Any) -> None:
            context = self._jvm.org.apache.hadoop.fs.FileContext.getFileContext(java_path.toUri(), self._configuration)
            context.rename(self._path(temporary), java_path, overwrite)

        self._call(rename, path)

    def _remote_files(self, root: str, below: str) -> Iterator[ListedFile]:
        entries = self._call(lambda system, java_path: system.listStatus(java_path), f"{root}/{below}")
        for entry in entries:
            name = below + str(entry.getPath().getName())
            if entry.isDirectory():
                yield from self._remote_files(root, f"{name}/")
            else:
                yield ListedFile(name, int(entry.getLen()))

    def local(self, path: str) -> str | None:
        """The path on this machine, or None if Hadoop resolves it, even without a scheme, to another file system."""
        uri = self.qualified(path)
        return re.sub(r"^file:(//)?", "", uri) if uri.startswith("file:") else None

    def _create(self, path: str, text: str) -> None:
        self._call(lambda system, java_path: self._write(system.create(java_path, False), text), path)

    def _write(self, stream: Any, text: str) -> None:
        try:
            stream.write(bytearray(text.encode()))
        finally:
            stream.close()

    def _path(self, path: str) -> Any:
        return self._jvm.org.apache.hadoop.fs.Path(path)

    def _call(self, action: Callable[[Any, Any], T], path: str) -> T:
        """Calls `action(file system, Java path)` and translates Java's exceptions."""
        try:
            java_path = self._path(path)
            return action(java_path.getFileSystem(self._configuration), java_path)
        except Py4JJavaError as error:
            name, text = error.java_exception.getClass().getSimpleName(), error.java_exception.getMessage()
            if name == "FileNotFoundException":
                raise FileNotFoundError(f"{path}: not found") from error
            if name == "FileAlreadyExistsException":
                raise FileExistsError(f"{path}: already exists") from error
            raise OSError(f"{path}: {name}: {text}") from error


def _local_files(root: str, below: str, parents: tuple[str, ...]) -> Iterator[ListedFile]:
    """Lists a local folder; links are followed, but not to a folder that holds them."""
    folder = os.path.join(root, below)
    real = os.path.realpath(folder)
    if real in parents:
        return
    with os.scandir(folder) as found:
        entries = [entry for entry in found if not _is_checksum(entry.name)]
    for entry in entries:
        name = below + entry.name
        if entry.is_dir():
            yield from _local_files(root, f"{name}/", (*parents, real))
            continue
        try:
            length = entry.stat().st_size
        except OSError as error:  # a link to nothing
            yield ListedFile(name, 0, error.strerror or str(error))
            continue
        problem = "" if entry.is_file() else "neither a file nor a folder"
        yield ListedFile(name, length, problem or ("" if _is_text(name) else "its name is not UTF-8"))


def _is_checksum(name: str) -> bool:
    """Whether a file holds the checksums that Hadoop keeps beside local files and never lists."""
    return name.startswith(".") and name.endswith(".crc")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
