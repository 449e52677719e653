"""Keeps the files that a worker has read in memory, so that later epochs do not read them again."""

from __future__ import annotations

from udfs.engine.reader import ExampleFile, examples_of, read_columns
from udfs.engine.task import Examples, Task


class FileCache:
    """The examples of files, up to a number of bytes.

    What is kept stays until the end. An epoch reads every file once, so dropping the least recently used file would drop each
    file shortly before it is needed: with half of the files in memory, half of the reads are saved this way. A file that does not
    fit is read each time. Neither the order of the examples nor their values depend on what is kept.

    Args:
        task: What is trained.
        most_bytes: The largest number of bytes of the columns of all files that are kept; 0 keeps none.
    """

    def __init__(self, task: Task, most_bytes: int):
        self._task, self._most_bytes = task, most_bytes
        self._kept: dict[ExampleFile, Examples] = {}
        self.bytes = 0

    def read(self, file: ExampleFile) -> Examples:
        """The examples of a file. Raises InputError as `read_file` does."""
        if file in self._kept:
            return self._kept[file]
        columns = read_columns(self._task.columns, file)
        examples = examples_of(self._task, file, columns)
        size = sum(column.nbytes for column in columns.values())
        if self.bytes + size <= self._most_bytes:
            self._kept[file] = examples
            self.bytes += size
        return examples
