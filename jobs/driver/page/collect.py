"""Gathers what a page shows from a run's folder, as plain data. Parts whose files do not exist yet stay empty."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from jobs.driver.page.thumbnails import data_uri
from jobs.driver.runs.registry import read_json
from udfs import files
from udfs.run_folder import RunFolder
from udfs.vision.decode import PhotoLimits, PhotoRefused, thumbnail

EXPLANATIONS = 8  # photos whose explanations are shown
TABLES = ("captions", "features")
STRIP_SIDE = 2400  # pixels of a strip's longer side at most


@dataclass
class Page:
    """Everything that a page shows.

    Attributes:
        run: The run's id.
        split: The split whose scores and captions are shown first.
        evaluations: {split: content of evaluate-SPLIT.json}.
        identity: The settings and inputs that decide the run's result.
        extractor: Fingerprint of the run's extractor.
        history: The lines of metrics.jsonl, one for each epoch.
        training: Metrics of the finished training.
        judgement: The content of judgement.json, the gate's last decision.
        external: {name: content of external/NAME.json}.
        captions: {"best", "median", "worst"}: rows of image_id, hypothesis, references and score.
        photos: {image_id: data URI} of the corpus.
        other_photos: The same for each second corpus, by its URI.
        explanations: image, caption and picture (a data URI) of each explained photo.
        configuration: The run's config.yaml.
        versions: {job: {table: version}}.
    """

    run: str
    split: str
    evaluations: dict[str, dict]
    identity: dict[str, Any]
    extractor: str
    history: list[dict] = field(default_factory=list)
    training: dict | None = None
    judgement: dict = field(default_factory=dict)
    external: dict[str, dict] = field(default_factory=dict)
    captions: dict[str, list[dict]] = field(default_factory=dict)
    photos: dict[str, str] = field(default_factory=dict)
    other_photos: dict[str, dict[str, str]] = field(default_factory=dict)
    explanations: list[dict] = field(default_factory=list)
    configuration: str = ""
    versions: dict[str, dict] = field(default_factory=dict)


def collect(folder: RunFolder, run: str, split: str) -> Page:
    """Reads a run's folder; captions and photos are added by the caller.

    Args:
        folder: The run's folder.
        run: The run's id.
        split: The split that is shown first.
    """
    about = read_json(folder.about) or {}
    page = Page(run, split, evaluations(folder), about["identity"], about["extractor"])
    page.history = history(folder)
    page.training = (read_json(folder.training) or {}).get("metrics")
    page.judgement = read_json(folder.judgement) or {}
    page.external = {name: read_json(folder.population(name)) or {} for name in _json_files(folder.external)}
    page.explanations = explanations(folder.explanations)
    page.configuration = _text(folder.config)
    page.versions = versions(folder, page.evaluations)
    return page


def evaluations(folder: RunFolder) -> dict[str, dict]:
    """Returns the stored evaluations by split."""
    names = [name for name in _json_files(folder.uri) if name.startswith("evaluate-")]
    splits = [name.removeprefix("evaluate-") for name in names]
    return {split: read_json(folder.evaluation(split)) or {} for split in splits}


def history(folder: RunFolder) -> list[dict]:
    """Returns the lines of metrics.jsonl, one for each epoch."""
    return [json.loads(line) for line in _text(folder.metrics).splitlines() if line.strip()]


def versions(folder: RunFolder, evaluations: dict[str, dict]) -> dict[str, dict]:
    """Returns the table versions that the run's jobs recorded, by job."""
    lines = {name: read_json(folder.job_line(name)) or {} for name in _json_files(folder.uri)}
    recorded = {name: line["versions"] for name, line in lines.items() if isinstance(line.get("versions"), dict)}
    for split, evaluation in evaluations.items():
        made_from = evaluation.get("made_from", {})
        tables = {key: value for key, value in made_from.items() if isinstance(value, int) and key in TABLES}
        recorded[f"evaluate, {split}"] = {**tables, "predictions": evaluation.get("version")}
    return {name: tables for name, tables in recorded.items() if tables}


def explanations(folder: str) -> list[dict]:
    """Returns the first explained captions: image, caption, and picture (the strip as a data URI).

    Leaves out strips that do not exist or cannot be decoded, and names that are not plain file names.
    """
    shown = []
    for row in (read_json(f"{folder}/explanations.json") or {}).get("photos", []):
        strip = str(row.get("strip") or "")
        if len(shown) < EXPLANATIONS and re.fullmatch(r"[\w-]+\.png", strip) and files.exists(f"{folder}/{strip}"):
            try:
                picture = thumbnail(files.read_bytes(f"{folder}/{strip}"), PhotoLimits(), STRIP_SIDE)
            except PhotoRefused:
                continue
            shown.append({"image": row["image"], "caption": row["caption"], "picture": data_uri(picture, "image/jpeg")})
    return shown


def _json_files(folder: str) -> list[str]:
    """The names of a folder's JSON files, without the suffix."""
    return [name.removesuffix(".json") for name in files.names(folder) if name.endswith(".json")]


def _text(uri: str) -> str:
    return files.read_bytes(uri).decode(errors="replace") if files.exists(uri) else ""
