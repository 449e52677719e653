"""Small files and folders through Hadoop's file systems: a job can use every place that Spark can."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
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
        return self._call(lambda system, java_path: bool(system.exists(java_path)), path)

    def is_folder(self, path: str) -> bool:
        """Tells whether a folder exists at a path; False for a file."""
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
        entries = self._call(lambda system, java_path: system.listStatus(java_path), path)
        return sorted((entry.getPath().getName(), entry.isDirectory()) for entry in entries)

    def modified(self, path: str) -> float:
        """Returns the modification time of a file or folder, in seconds since 1970."""
        status = self._call(lambda system, java_path: system.getFileStatus(java_path), path)
        return float(status.getModificationTime() / 1000)

    def read_text(self, path: str) -> str:
        return self.read_bytes(path).decode()

    def read_bytes(self, path: str, most: int = 2**31 - 1) -> bytes:
        """Returns the first `most` bytes of a file, or all of a shorter one."""

        def read(system: Any, java_path: Any) -> bytes:
            stream = system.open(java_path)
            try:
                return bytes(stream.readNBytes(most))
            finally:
                stream.close()

        return self._call(read, path)

    def create_text(self, path: str, text: str) -> None:
        """Writes a new file. If several writers try at once, one succeeds and the others get FileExistsError."""
        if local := self._local(path):  # Hadoop's local file system checks first and creates later
            files.create_bytes(local, text.encode())
        else:
            self._create(path, text)

    def replace_text(self, path: str, text: str) -> None:
        """Replaces a file atomically: a reader gets the old text or the new one."""
        if local := self._local(path):  # Hadoop's local file system deletes the old file first
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

    def _local(self, path: str) -> str | None:
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
