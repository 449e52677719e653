"""What a page shows, gathered from a run's folder as plain data; what is not there is None."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from jobs.driver.page.pictures import data_uri
from jobs.driver.runs.registry import read_json
from udfs import files
from udfs.vision.decode import PhotoLimits, PhotoRefused, thumbnail

EXPLANATIONS = 8  # photos whose explanations are shown
TABLES = ("captions", "features")
STRIP_SIDE = 2400  # pixels of a strip's longer side at most


@dataclass
class Page:
    """Everything on a page. `evaluations` is {split: evaluate-<split>.json}, `external` is {name: external/<name>.json}.

    captions: {"best": [...], "median": [...], "worst": [...]}, each of image_id, hypothesis, references and score.
    photos: {image_id: data URI} of the corpus, other_photos the same of second corpora by their URI.
    """

    run: str
    split: str
    evaluations: dict[str, dict]
    identity: dict
    extractor: str
    history: list[dict] = field(default_factory=list)
    training: dict | None = None
    external: dict[str, dict] = field(default_factory=dict)
    captions: dict[str, list[dict]] = field(default_factory=dict)
    photos: dict[str, str] = field(default_factory=dict)
    other_photos: dict[str, dict[str, str]] = field(default_factory=dict)
    explanations: list[dict] = field(default_factory=list)
    configuration: str = ""
    versions: dict[str, dict] = field(default_factory=dict)


def collect(folder: str, run: str, split: str) -> Page:
    """The page of a run without its captions and photos."""
    about = read_json(f"{folder}/run.json")
    page = Page(run, split, evaluations(folder), about["identity"], about["extractor"])
    page.history = history(folder)
    page.training = (read_json(f"{folder}/train.json") or {}).get("metrics")
    page.external = {name: read_json(f"{folder}/external/{name}.json") for name in _stems(f"{folder}/external")}
    page.explanations = explanations(f"{folder}/report/explanations")
    page.configuration = _text(f"{folder}/config.yaml")
    page.versions = versions(folder, page.evaluations)
    return page


def evaluations(folder: str) -> dict[str, dict]:
    """What was scored, by split."""
    splits = [name.removeprefix("evaluate-") for name in _stems(folder) if name.startswith("evaluate-")]
    return {split: read_json(f"{folder}/evaluate-{split}.json") for split in splits}


def history(folder: str) -> list[dict]:
    """The lines of metrics.jsonl, one an epoch."""
    return [json.loads(line) for line in _text(f"{folder}/metrics.jsonl").splitlines() if line.strip()]


def versions(folder: str, evaluations: dict[str, dict]) -> dict[str, dict]:
    """The table versions that the run's jobs noted, by job."""
    lines = {name: read_json(f"{folder}/{name}.json") for name in _stems(folder)}
    found = {name: line["versions"] for name, line in lines.items() if isinstance(line.get("versions"), dict)}
    for split, evaluation in evaluations.items():
        made_from = evaluation.get("made_from", {})
        tables = {key: value for key, value in made_from.items() if isinstance(value, int) and key in TABLES}
        found[f"evaluate, {split}"] = {**tables, "predictions": evaluation.get("version")}
    return {name: tables for name, tables in found.items() if tables}


def explanations(folder: str) -> list[dict]:
    """The first explained captions whose strips are there: image, caption, and the strip (`picture`) as a data URI."""
    index = f"{folder}/explanations.json"
    found = (read_json(index) or {}).get("photos", [])
    shown = []
    for row in found:
        strip = str(row.get("strip") or "")
        if len(shown) < EXPLANATIONS and re.fullmatch(r"[\w-]+\.png", strip) and files.exists(f"{folder}/{strip}"):
            try:
                picture = thumbnail(files.read_bytes(f"{folder}/{strip}"), PhotoLimits(), STRIP_SIDE)
            except PhotoRefused:
                continue
            shown.append({"image": row["image"], "caption": row["caption"], "picture": data_uri(picture, "image/jpeg")})
    return shown


def _stems(folder: str) -> list[str]:
    return [name.removesuffix(".json") for name in files.names(folder) if name.endswith(".json")]


def _text(uri: str) -> str:
    return files.read_bytes(uri).decode(errors="replace") if files.exists(uri) else ""
