"""Jobs under LC_ALL=C, as cron and containers start them, with names that its JVM cannot open."""

import json

from conftest import SMALL_NETWORK, spark_submit
from PIL import Image


def test_names_beyond_ascii_are_read_in_the_c_locale(tmp_path, monkeypatch):
    images = tmp_path / "images"
    images.mkdir()
    names = ["ünï.jpg", "照片.jpg", "plain.jpg"]
    for name in names:
        Image.new("RGB", (32, 32), "red").save(images / name)
    splits = ["train", "train", "dev"]
    rows = [f"{name},A réd photo,{split}" for name, split in zip(names, splits, strict=True)]
    (tmp_path / "captions ü.csv").write_text("\n".join(["image,caption,split", *rows]))
    monkeypatch.setenv("LC_ALL", "C")
    overrides = [f"corpus.root={tmp_path}", f"paths.warehouse={tmp_path}/warehouse", "storage.format=parquet"]
    done = spark_submit("extract_features", *overrides, *SMALL_NETWORK, "extractor.pooling=avg")
    assert done.code == 0, done.stderr
    line = json.loads(done.stdout)
    assert (line["rows_in"], line["written"], line["quarantined"]) == (3, 3, 0)
    done = spark_submit("inspect_corpus", *overrides)
    assert done.code == 0, done.stderr
    metrics = json.loads(done.stdout)["metrics"]
    assert metrics["accepted"] == {"train": 2, "dev": 1}
    assert metrics["first_captions"] == [
        [name, "A réd photo", split] for name, split in zip(names, splits, strict=True)
    ]
