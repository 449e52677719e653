"""Small files and folders through Hadoop, so that whatever Spark can reach, a job can."""

from __future__ import annotations

import os
import re
from urllib.parse import urlparse

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from udfs import files


def absolute(path: str) -> str:
    """A relative local path as an absolute `file:` URI; any other path or URI as it is."""
    if urlparse(path).scheme or path.startswith("/"):
        return path
    return "file://" + os.path.abspath(path)


class Storage:
    """The few file operations that tables and run folders need.

    Java's exceptions come through as OSError, FileNotFoundError or FileExistsError.
    """

    def __init__(self, spark: SparkSession):
        self._jvm = spark.sparkContext._jvm
        self._configuration = spark.sparkContext._jsc.hadoopConfiguration()

    def qualified(self, path: str) -> str:
        """The path with its scheme and authority, spelled as Spark's `path` columns spell it."""
        return self._call(lambda system, where: system.makeQualified(where).toString(), path)

    def exists(self, path: str) -> bool:
        return self._call(lambda system, where: system.exists(where), path)

    def is_folder(self, path: str) -> bool:
        return self._call(
            lambda system, where: system.exists(where) and system.getFileStatus(where).isDirectory(), path
        )

    def rename(self, path: str, new: str) -> None:
        """Renames a file or folder to a name that is not taken."""
        if not self._call(lambda system, where: system.rename(where, self._path(new)), path):
            raise OSError(f"{path}: could not be renamed to {new}")

    def make_folder(self, path: str) -> None:
        if not self._call(lambda system, where: system.mkdirs(where), path):
            raise OSError(f"{path}: the folder could not be made")

    def delete(self, path: str) -> None:
        self._call(lambda system, where: system.delete(where, True), path)

    def children(self, path: str) -> list[tuple[str, bool]]:
        """(name, is a folder) of each entry, in order of name."""
        entries = self._call(lambda system, where: system.listStatus(where), path)
        return sorted((entry.getPath().getName(), entry.isDirectory()) for entry in entries)

    def modified(self, path: str) -> float:
        """When a file or folder was last changed, in seconds since 1970."""
        return self._call(lambda system, where: system.getFileStatus(where).getModificationTime(), path) / 1000

    def read_text(self, path: str) -> str:
        return self.read_bytes(path).decode()

    def read_bytes(self, path: str, most: int = 2**31 - 1) -> bytes:
        """A file's content, but no more than its first `most` bytes."""

        def read(system, where):
            stream = system.open(where)
            try:
                return bytes(stream.readNBytes(most))
            finally:
                stream.close()

        return self._call(read, path)

    def create_text(self, path: str, text: str) -> None:
        """Writes a file that must not be there yet: of two that try at once, one succeeds. Raises FileExistsError."""
        if local := self._local(path):  # where Hadoop looks first and creates then
            files.create_bytes(local, text.encode())
        else:
            self._create(path, text)

    def replace_text(self, path: str, text: str) -> None:
        """Writes a file aside and renames it over the old one, so that a reader sees the old text or the new."""
        if local := self._local(path):  # where Hadoop deletes the old file first
            files.write_text(local, text)
            return
        aside = f"{path}.{os.urandom(6).hex()}.tmp"
        self._create(aside, text)
        options = self._jvm.org.apache.hadoop.fs.Options
        overwrite = self._jvm.java.lang.reflect.Array.newInstance(options.Rename.OVERWRITE.getClass(), 1)
        self._jvm.java.lang.reflect.Array.set(overwrite, 0, options.Rename.OVERWRITE)

        def rename(_, where):
            context = self._jvm.org.apache.hadoop.fs.FileContext.getFileContext(where.toUri(), self._configuration)
            context.rename(self._path(aside), where, overwrite)

        self._call(rename, path)

    def _local(self, path: str) -> str | None:
        """The path on this machine, or None where Hadoop takes it for another store's, also without a scheme."""
        uri = self.qualified(path)
        return re.sub(r"^file:(//)?", "", uri) if uri.startswith("file:") else None

    def _create(self, path: str, text: str) -> None:
        self._call(lambda system, where: self._write(system.create(where, False), text), path)

    def _write(self, stream, text: str) -> None:
        try:
            stream.write(bytearray(text.encode()))
        finally:
            stream.close()

    def _path(self, path: str):
        return self._jvm.org.apache.hadoop.fs.Path(path)

    def _call(self, action, path: str):
        try:
            where = self._path(path)
            return action(where.getFileSystem(self._configuration), where)
        except Py4JJavaError as error:
            kind, text = error.java_exception.getClass().getSimpleName(), error.java_exception.getMessage()
            if kind == "FileNotFoundException":
                raise FileNotFoundError(f"{path}: not found") from error
            if kind == "FileAlreadyExistsException":
                raise FileExistsError(f"{path}: already there") from error
            raise OSError(f"{path}: {kind}: {text}") from error
