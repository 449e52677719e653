"""Chooses the caption files among the text files of a corpus, by their contents."""

from __future__ import annotations

import os
import re

from conf.schema import Corpus as CorpusSettings
from jobs.driver.corpus.caption_files import CaptionFile, open_caption_file, split_of_file
from jobs.driver.corpus.forms.caption import PICTURE
from jobs.driver.spark.hadoop_files import HadoopFiles
from udfs.errors import InputError

# COCO's annotations without captions; they can be large.
OTHER_ANNOTATIONS = re.compile(r"(instances|person_keypoints|stuff|panoptic|image_info)_.*\.json$")
SURE_NAMES = re.compile(r"\.token\.txt$|captions.*\.(txt|csv|tsv|json|jsonl)$", re.IGNORECASE)
SHARED_NAMES = 0.3  # two files are of the same photos if they share this part of the names in their first lines


def choose_captions(
    storage: HadoopFiles, settings: CorpusSettings, root: str, names: list[str]
) -> tuple[list[CaptionFile], dict[str, str]]:
    """Returns the caption files among text files, and the others with the reason.

    Several files are used together if they are of different photos. Of files of the same photos, such as Flickr8k.token.txt
    and Flickr8k.lemma.token.txt, the one whose name has no additional part is used.

    Raises:
        InputError: Several files hold captions of the same photos; or the only ones are ambiguous.
    """
    files, left_out, ambiguous = [], {}, []
    for name in names:
        if OTHER_ANNOTATIONS.search(name):
            left_out[name] = "COCO annotations without captions"
            continue
        try:
            file, why = open_caption_file(storage, settings, f"{root}/{name}")
        except InputError as error:
            ambiguous.append(error)
            left_out[name] = str(error)
            continue
        if file is not None:
            files.append(file)
        else:
            left_out[name] = why
    if ambiguous and not files:
        raise ambiguous[0]
    if not files and (empty := [name for name, why in left_out.items() if why == "empty" and SURE_NAMES.search(name)]):
        raise InputError(f"corpus.captions: found no captions in {', '.join(empty)}; check the file")
    chosen = files
    for file in files:
        rivals = [other for other in files if other is not file and _same_photos(file, other)]
        if any(_is_plainer(other, file) for other in rivals):
            chosen = [other for other in chosen if other is not file]
            left_out[file.path.removeprefix(f"{root}/")] = "the captions of another file in another form"
        elif clash := [other for other in rivals if not _is_plainer(file, other)]:
            raise InputError(
                f"corpus.captions: {_name(file)} and {_name(clash[0])} hold captions of the same photos; "
                f"set corpus.captions={file.path.removeprefix(f'{root}/')} or the other"
            )
    return chosen, left_out


def sidecars(names: list[str]) -> set[str]:
    """The paths of pictures without their suffix, to leave out texts beside a picture of the same name."""
    return {os.path.splitext(name)[0] for name in names if re.search(rf"{PICTURE}$", name, re.IGNORECASE)}


def _name(file: CaptionFile) -> str:
    return file.path.rsplit("/", 1)[-1]


def _same_photos(first: CaptionFile, second: CaptionFile) -> bool:
    splits = {split_of_file(first.path), split_of_file(second.path)}
    if len(splits) == 2 and None not in splits and not (first.form.has_splits or second.form.has_splits):
        return False
    names, others = first.head.photo_names, second.head.photo_names
    return len(names & others) >= max(1, SHARED_NAMES * min(len(names), len(others)))


def _is_plainer(first: CaptionFile, second: CaptionFile) -> bool:
    """Whether the first file's name is the second's without some of its parts, or the second is a copy in a deeper folder."""
    names, others = (set(re.split(r"[._\-\s]+", _name(file).lower())) for file in (first, second))
    if names == others and first.head.text == second.head.text:
        return (first.path.count("/"), first.path) < (second.path.count("/"), second.path)
    return names < others
