"""Where a corpus keeps its photos, captions and split lists, found from the names and the contents of its files.

Recognised are folders as Flickr8k, Flickr30k, COCO and their copies are distributed: photos in one folder or in a tree of
folders, caption files of any form (see `forms`) beside them or in a folder of their own, and split lists (see `split_lists`).
"""

from __future__ import annotations

import copy
import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from urllib.parse import urlparse

from pyspark.sql import SparkSession

from conf import Settings
from jobs.driver.corpus.caption_files import CaptionFile, open_caption_file
from jobs.driver.corpus.chosen_captions import choose_captions, sidecars
from jobs.driver.corpus.forms.caption import PICTURE
from jobs.driver.corpus.photo_listing import photos_among
from jobs.driver.corpus.split_lists import named_lists, split_lists_among
from jobs.driver.spark.hadoop_files import HadoopFiles, ListedFile, absolute
from udfs.errors import InputError

TEXT_SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".lst", ".token")
MANY_TEXTS = 200  # more text files in a folder than this are no caption files


class NoCaptions(InputError):
    """The corpus has photos but no caption file."""


@dataclass(frozen=True)
class Corpus:
    """The files of a corpus.

    Attributes:
        photos: Folder of the photos.
        captions: Caption files, with their forms.
        split_lists: {split: file that lists its photos}.
        names: The photos, by name.
        left_out: Text files that were not used, with the reason.
        uses_splits: Whether the corpus's own splits count; otherwise a hash deals the photos.
    """

    photos: str
    captions: list[CaptionFile]
    split_lists: dict[str, str]
    names: list[ListedFile] = field(default_factory=list, repr=False)
    left_out: dict[str, str] = field(default_factory=dict)
    uses_splits: bool = True


def at_root(settings: Settings, root: str) -> Settings:
    """Returns the settings for another corpus, whose photos, captions and splits are found automatically."""
    other = copy.deepcopy(settings)
    other.corpus.root, other.corpus.photos, other.corpus.captions = root, "auto", "auto"
    other.corpus.columns, other.corpus.splits, other.corpus.encoding = {}, {}, "auto"
    return other


def find_photos(spark: SparkSession, settings: Settings) -> str:
    """Returns the folder of the photos.

    Raises:
        InputError: `corpus.root` does not exist, has no photos, or has several folders of photos.
    """
    storage, root = HadoopFiles(spark), _root(settings)
    return _photo_folder(storage, settings, root, _files(storage, settings, root))


def find_corpus(spark: SparkSession, settings: Settings) -> Corpus:
    """Returns the photos, captions and split lists of a corpus.

    Raises:
        NoCaptions: There is no caption file.
        InputError: Something that the configuration names does not exist, there are no photos, or it is ambiguous what to
            use; the message names the key that decides.
    """
    storage, root = HadoopFiles(spark), _root(settings)
    files = _files(storage, settings, root)
    photos = _photo_folder(storage, settings, root, files)
    captions, left_out = _caption_files(storage, settings, root, files)
    used = {file.path for file in captions}
    texts = [name for name in _texts(files) if f"{root}/{name}" not in used]
    lists = named_lists(storage, root, settings.corpus.splits) or split_lists_among(storage, root, texts)
    left_out = {name: why for name, why in left_out.items() if f"{root}/{name}" not in {*used, *lists.values()}}
    below = f"{photos.removeprefix(root).strip('/')}/".removeprefix("/")
    names = photos_among(
        [
            ListedFile(file.name[len(below) :], file.length, file.problem)
            for file in files
            if file.name.startswith(below)
        ]
        if f"{photos}/".startswith(f"{root}/")
        else storage.files_below(photos)
    )
    return Corpus(photos, captions, lists, names, left_out)


def _root(settings: Settings) -> str:
    return absolute(settings.corpus.root).rstrip("/") or "/"


def _files(storage: HadoopFiles, settings: Settings, root: str) -> list[ListedFile]:
    try:
        return storage.files_below(root)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"corpus.root: {root} not found; set corpus.root to the corpus folder, or draw the sample with jobs/draw_sample.py"
        ) from error


def _visible(name: str) -> bool:
    """Whether no folder in a path is hidden, such as the `__MACOSX` of zip files."""
    return not any(part.startswith((".", "_")) for part in name.split("/")[:-1])


def _texts(files: list[ListedFile]) -> list[str]:
    """Files that can be captions or split lists: texts, but no text beside each picture of the same name."""
    stems = sidecars([file.name for file in files])
    names = [
        file.name
        for file in files
        if _visible(file.name)
        and not os.path.basename(file.name).startswith((".", "_"))
        and file.name.lower().endswith(TEXT_SUFFIXES)
        and os.path.splitext(file.name)[0] not in stems
    ]
    folders = Counter(os.path.dirname(name) for name in names)
    return [name for name in names if folders[os.path.dirname(name)] <= MANY_TEXTS]


def _photo_folder(storage: HadoopFiles, settings: Settings, root: str, files: list[ListedFile]) -> str:
    if settings.corpus.photos != "auto":
        named = settings.corpus.photos
        outside = named.startswith("/") or urlparse(named).scheme
        folder = absolute(named).rstrip("/") if outside else f"{root}/{named}".rstrip("/").removesuffix("/.")
        if not storage.is_folder(folder):
            raise InputError(f"corpus.photos: {folder} not found; set the photos' folder, relative to corpus.root")
        return folder
    pictures = [file.name for file in files if _visible(file.name) and _is_picture(file.name)]
    if not pictures:
        raise InputError(f"corpus.root: found no photos in {root}, expected a folder of pictures; check the path")
    folder, branches = _common_folder(pictures)
    if branches:
        _require_one_set(storage, settings, root, files, folder, branches)
    return f"{root}/{folder}".rstrip("/")


def _is_picture(name: str) -> bool:
    return re.search(rf"{PICTURE}$", name, re.IGNORECASE) is not None


def _common_folder(pictures: list[str]) -> tuple[str, dict[str, list[str]]]:
    """The folder that holds all pictures, and what lies in the folders below it if there are several.

    At the root, a folder with more pictures than lie beside it counts alone: a logo is no photo.
    """
    folder = ""
    while True:
        below = [name[len(folder) :] for name in pictures if name.startswith(folder)]
        direct = [name for name in below if "/" not in name]
        branches: dict[str, list[str]] = defaultdict(list)
        for name in below:
            first, slash, rest = name.partition("/")
            if slash:
                branches[first].append(rest)
        if len(branches) != 1 or (direct and folder) or len(direct) >= sum(map(len, branches.values())):
            return folder, dict(branches) if len(branches) > 1 else {}
        folder += f"{next(iter(branches))}/"


def _require_one_set(
    storage: HadoopFiles,
    settings: Settings,
    root: str,
    files: list[ListedFile],
    folder: str,
    branches: dict[str, list[str]],
) -> None:
    """Refuses folders that hold photos of the same names, if the captions do not say from which folder they are."""
    counts = Counter(name for names in branches.values() for name in set(names))
    shared = {os.path.basename(name) for name, count in counts.items() if count > 1}
    if not shared:
        return
    try:
        captions, _ = _caption_files(storage, settings, root, files)
    except NoCaptions:
        return
    for file in captions:
        bare = [name for name in file.first_names() if "/" not in name and name in shared]
        if bare:
            listed = ", ".join(sorted(branches)[:5])
            raise InputError(
                f"corpus.photos: found the folders {listed} in {f'{root}/{folder}'.rstrip('/')}, which hold photos of the same "
                f"names, such as {bare[0]}, expected one; set corpus.photos to the photos' folder"
            )


def _caption_files(
    storage: HadoopFiles, settings: Settings, root: str, files: list[ListedFile]
) -> tuple[list[CaptionFile], dict[str, str]]:
    """The caption files, and the texts that are none, with the reason."""
    if settings.corpus.captions != "auto":
        return [_named_file(storage, settings, root, name) for name in settings.corpus.captions.split(",")], {}
    captions, left_out = choose_captions(storage, settings.corpus, root, _texts(files))
    if not captions:
        seen = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:3])
        raise NoCaptions(
            f"corpus.captions: found no caption file in {root}, expected *.token.txt, a table with the columns image and "
            f"caption, JSON lines or COCO's captions*.json{f' ({seen})' if seen else ''}; set corpus.captions"
        )
    return captions, left_out


def _named_file(storage: HadoopFiles, settings: Settings, root: str, name: str) -> CaptionFile:
    path = f"{root}/{name.strip()}"
    if not storage.exists(path) or storage.is_folder(path):
        raise InputError(f"corpus.captions: {path} not found; set the caption file, relative to corpus.root")
    file, why = open_caption_file(storage, settings.corpus, path)
    if file is None:
        raise InputError(
            f"corpus.captions: the form of {path} is not known: {why}; set corpus.columns.image and corpus.columns.caption"
        )
    return file
