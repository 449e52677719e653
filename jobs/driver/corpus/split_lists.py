"""Split lists: text files with a photo's name on each line, whose own name holds the split's.

Recognised are Flickr8k's `Flickr_8k.trainImages.txt`, `train.txt`, `trainImages.txt`, `karpathy_train_images.txt` and the
like, in the corpus folder or below it. `val`, `valid`, `validation` and `dev` are one split.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from jobs.driver.corpus.caption_files import HEAD_BYTES
from jobs.driver.corpus.forms.caption import (
    IS_PICTURE,
    SPLIT_NAMES,
    Head,
    decoded,
    encoding_of,
    head_of,
    split_name,
    text_lines,
)
from jobs.driver.corpus.forms.columns import NAMES, plain_name
from jobs.driver.spark.hadoop_files import HadoopFiles
from udfs.errors import InputError

FLICKR_LIST = re.compile(r"[._-](\w+?)Images\.txt$")
WORDS = "|".join(sorted({"train", "dev", "test", *SPLIT_NAMES}, key=len, reverse=True))
LIST_NAME = re.compile(rf"(?:^|[._\-\s])({WORDS})(?=[._\-\s\d]|images|photos|imgs|list|set|split|ids)", re.IGNORECASE)


def named_lists(storage: HadoopFiles, root: str, splits: Mapping[str, str]) -> dict[str, str]:
    """The lists that `corpus.splits` names: {split: path}. Raises InputError if a file does not exist."""
    lists = {}
    for split, name in splits.items():
        path = f"{root}/{name}"
        if not storage.exists(path):
            raise InputError(f"corpus.splits.{split}: {path} not found; set the split's list, relative to corpus.root")
        lists[split_name(split) or split] = path
    return lists


def split_lists_among(storage: HadoopFiles, root: str, names: list[str]) -> dict[str, str]:
    """The split lists among text files: {split: path}.

    Raises:
        InputError: Two different lists are of the same split.
    """
    lists: dict[str, str] = {}
    for name in names:
        split, path = _split_of_list(storage, root, name), f"{root}/{name}"
        if split is None:
            continue
        if split in lists and storage.sha256(lists[split]) != storage.sha256(path):
            raise InputError(
                f"corpus.splits: {lists[split].removeprefix(f'{root}/')} and {name} both list the split {split}; "
                f"set corpus.splits.{split}={name} and the other splits' lists likewise"
            )
        lists.setdefault(split, path)
    return lists


def read_list(storage: HadoopFiles, path: str) -> list[str]:
    """The names in a split list, without repetitions, a header and blank lines."""
    content = storage.read_bytes(path)
    lines = [line.strip() for line in text_lines(decoded(content, encoding_of(content)))]
    if lines and plain_name(lines[0]) in NAMES["image"]:
        lines = lines[1:]
    return list(dict.fromkeys(line.strip("\"'") for line in lines if line))


def _split_of_list(storage: HadoopFiles, root: str, name: str) -> str | None:
    """The split that a list is of; None for files that are no split lists."""
    last = name.rsplit("/", 1)[-1]
    if match := FLICKR_LIST.search(last):
        return split_name(match[1])
    match = LIST_NAME.search(last)
    if match is None or last.lower().endswith((".json", ".jsonl", ".ndjson")):
        return None
    content = storage.read_bytes(f"{root}/{name}", HEAD_BYTES)
    try:
        head = head_of(name, content, complete=len(content) < HEAD_BYTES)
    except InputError:
        return None
    return split_name(match[1]) if _holds_names(head) else None


def _holds_names(head: Head) -> bool:
    """Whether most of the first lines are names of pictures, or single words: names without a suffix."""
    lines = [line for line in head.lines[:200] if plain_name(line) not in NAMES["image"]]
    names = [
        line for line in lines if IS_PICTURE.fullmatch(line) or re.fullmatch(r"[^\s,;|{}\[\]<>=]{3,}", line.strip())
    ]
    return bool(lines) and 2 * len(names) > len(lines)
