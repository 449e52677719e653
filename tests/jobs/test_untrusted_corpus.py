"""A corpus from someone else: hostile names, captions and links are counted as rows, and do nothing."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from conftest import SMALL_NETWORK, Workspace
from PIL import Image

SECRET = "root-of-all-evil:x:0:0"
NAMES = ["=1+1.png", "@SUM(A1).png", "<img src=x onerror=alert(1)>.png", "{{7*7}}.png", "; rm -r .png", "$(id).png"]
CAPTIONS = [
    "<script>alert(1)</script>",
    '=HYPERLINK("http://x.example","y")',
    "+cmd|' /C calc'!A0",
    "{{ 7 * 7 }} ${oc.env:HOME} $(id) `id`",
    "a dog \u202egnp.exe",
]


@pytest.fixture
def hostile(spark, tmp_path) -> Workspace:
    images = tmp_path / "corpus" / "images"
    images.mkdir(parents=True)
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), "green").save(stream, "PNG")
    for name in ["good.png", *NAMES]:
        (images / name).write_bytes(stream.getvalue())
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (images / "secret.png").symlink_to(tmp_path / "secret")
    (images / "round").symlink_to(tmp_path / "corpus")
    os.mkfifo(images / "pipe.png")
    lines = [f"{name}#{number}\t{text}" for name in ["good.png", *NAMES] for number, text in enumerate(CAPTIONS)]
    lines += ["../secret#0\ta dog", "images/../../secret#0\ta dog", f"{tmp_path}/secret#0\ta dog"]
    (tmp_path / "corpus" / "x.token.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "corpus" / "x.trainImages.txt").write_text("\n".join([*NAMES, "../secret"]) + "\n")
    (tmp_path / "corpus" / "x.devImages.txt").write_text("good.png\n")
    return Workspace(tmp_path, ["storage.format=parquet", "text.min_count=1", *SMALL_NETWORK])


def everything_written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.timeout(300)
def test_hostile_names_and_links_are_rows_and_nothing_more(hostile, monkeypatch):
    outcome = hostile.run("extract_features")
    reasons = hostile.reasons("extract_features")
    assert outcome.written == 1 + len(NAMES)
    assert reasons["secret.png"] == "not_an_image"
    assert "pipe.png" in reasons
    details = str(hostile.table("quarantine").read().collect())
    assert SECRET not in details
    assert SECRET.encode() not in everything_written(hostile.folder / "warehouse")


@pytest.mark.timeout(300)
def test_hostile_captions_become_plain_words(hostile):
    outcome = hostile.run("tokenize_captions")
    assert outcome.rows_in == outcome.written + outcome.quarantined
    outside = {key: reason for key, reason in hostile.reasons("tokenize_captions").items() if "secret" in key}
    assert set(outside.values()) == {"outside_corpus"}
    tokens = [row.token for row in hostile.table("vocabulary").read().collect() if not row.token.startswith("<")]
    assert {"script", "alert", "dog"} <= set(tokens)
    assert not [token for token in tokens if set(token) & set("<>=+@{}$`|\u202e")]
