"""Draws a sample corpus in the layout of Flickr8k: photos of coloured shapes, captions and split lists.

The folder corpus.root must be local, and empty or drawn by this job. If more photos are asked for than are there, the job adds
the missing ones. With fewer photos, another seed or another side, it draws the sample again. It refuses a folder that it did not
draw.

Keys:
    corpus.root: the folder.
    sample.photos, sample.side: number and size of the photos.
    sample.seed: another seed draws other scenes.
"""

from __future__ import annotations

import io
import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlparse

from tqdm import tqdm

from conf.schema import Sample
from jobs.driver.command import Outcome, run_job
from jobs.driver.job import Job
from udfs.errors import InputError
from udfs.vision.scene_pictures import draw_scene
from udfs.vision.scenes import CAPTIONS, SPLITS, VERSION, compose_scene, scene_captions, split_of

MARKER, TOKENS, PHOTOS = "sample.json", "sample.token.txt", "images"
SPLIT_LISTS = {split: f"sample.{split}Images.txt" for split in SPLITS}
PHOTO_NAME = re.compile(r"scene_\d{6,}\.jpg")


def main(job: Job) -> Outcome:
    sample, root = job.settings.sample, local_root(job.settings.corpus.root)
    marker = {"drawn_by": "draw_sample", "version": VERSION, **asdict(sample)}
    try:
        written = update(root, marker, sample, job)
    except OSError as error:
        raise InputError(
            f"corpus.root: {error.filename or root}: {error.strerror or error}; expected a folder that can be written; "
            "make it writable or set corpus.root to another"
        ) from error
    splits = [split_of(index) for index in range(sample.photos)]
    return Outcome(
        rows_in=sample.photos,
        written=written,
        unchanged=sample.photos - written,
        metrics={"captions": CAPTIONS * sample.photos, **{split: splits.count(split) for split in SPLITS}},
    )


def update(root: Path, marker: dict, sample: Sample, job: Job) -> int:
    """Completes the sample that the marker describes. Returns the number of photos drawn."""
    earlier = read_marker(root)
    if earlier and not is_part(earlier, marker):
        job.log.info(f"drawing all photos again, because {root} holds another sample")
        delete_drawn(root)
    missing = [index for index in range(sample.photos) if not (root / PHOTOS / photo_name(index)).exists()]
    texts = [root / name for name in (TOKENS, *SPLIT_LISTS.values())]
    finished = {**marker, "finished": True}
    if missing or earlier != finished or not all(text.exists() for text in texts):
        root.mkdir(parents=True, exist_ok=True)
        write_marker(root, marker)  # without "finished", so that an interrupted job is completed by the next
        (root / PHOTOS).mkdir(exist_ok=True)
        for index in tqdm(missing, desc="draw_sample", unit="photo", disable=None):
            draw_photo(root, sample, index)
        write_texts(root, sample)
        write_marker(root, finished)
    return len(missing)


def local_root(root: str) -> Path:
    """The folder that a path or `file:` URI names. Raises InputError for any other URI."""
    scheme = urlparse(root).scheme
    if scheme not in ("", "file"):
        raise InputError(
            f"corpus.root: found {root}, expected a local path or file: URI to draw the sample in; "
            "draw it in a local folder and copy that"
        )
    return Path(re.sub(r"^file:(//[^/]*(?=/))?", "", root)).absolute()


def read_marker(root: Path) -> dict | None:
    """The folder's marker, or None for an empty folder. Raises InputError for a folder that this job did not draw."""
    if not root.exists() or all(entry.name.startswith(".") for entry in root.iterdir()):
        return None
    try:
        marker = json.loads((root / MARKER).read_text())
        if marker["drawn_by"] == "draw_sample":
            return marker
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass  # no marker of this job
    raise InputError(
        f"corpus.root: found files in {root} that draw_sample did not draw, expected an empty folder or an earlier "
        "sample; set corpus.root to another folder"
    )


def is_part(earlier: dict, marker: dict) -> bool:
    """Whether the sample of an earlier marker is the beginning of the one that the marker describes."""
    same = all(earlier.get(key) == marker[key] for key in ("version", "seed", "side"))
    return same and earlier.get("photos", 0) <= marker["photos"]


def delete_drawn(root: Path) -> None:
    """Deletes the files that this job draws, except the marker, which identifies the folder as this job's."""
    for name in (TOKENS, *SPLIT_LISTS.values()):
        (root / name).unlink(missing_ok=True)
    for photo in (root / PHOTOS).glob("scene_*.jpg"):
        if PHOTO_NAME.fullmatch(photo.name):
            photo.unlink()


def draw_photo(root: Path, sample: Sample, index: int) -> None:
    content = io.BytesIO()
    draw_scene(compose_scene(sample.seed, index), sample.side).save(content, "JPEG", quality=90)
    replace(root / PHOTOS / photo_name(index), content.getvalue())


def write_texts(root: Path, sample: Sample) -> None:
    """Writes the captions and the split lists."""
    tokens, names = [], {split: [] for split in SPLITS}
    for index in range(sample.photos):
        name, split = photo_name(index), split_of(index)
        captions = scene_captions(compose_scene(sample.seed, index))
        tokens += [f"{name}#{number}\t{caption}\n" for number, caption in enumerate(captions)]
        names[split].append(f"{name}\n")
    replace(root / TOKENS, "".join(tokens).encode())
    for split, lines in names.items():
        replace(root / SPLIT_LISTS[split], "".join(lines).encode())


def write_marker(root: Path, marker: dict) -> None:
    replace(root / MARKER, (json.dumps(marker, indent=2) + "\n").encode())


def photo_name(index: int) -> str:
    return f"scene_{index:06}.jpg"


def replace(path: Path, content: bytes) -> None:
    """Writes a temporary file and renames it, so that no reader sees an incomplete file."""
    aside = path.with_name(f".{path.name}.tmp")
    aside.write_bytes(content)
    os.replace(aside, path)


if __name__ == "__main__":
    run_job(main, __doc__)
