"""Every file that the store lists is written, unchanged or quarantined, whatever its name."""

import hashlib
import os

from conftest import Workspace
from PIL import Image
from pyspark.sql import functions as F

from jobs.driver.corpus.photo_listing import hashed_photos, map_contents, photo_names

NAMES = [
    "_DSC0001.jpg",
    "_MG_0001.JPG",
    ".hidden.jpg",
    "Screenshot 2020-01-01 at 10:30:12.jpg",
    "photos [2024]/a{b}*?.jpg",
    "_private/10:30/ünï.jpg",
    "照片 #1%20.jpg",
    "back\\slash.jpg",
]


def test_photos_with_any_names_are_extracted_and_what_cannot_be_read_is_quarantined(spark, workspace):
    images = workspace.corpus / "images"
    for photo in images.iterdir():
        photo.unlink()
    for name in NAMES:
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), "red").save(images / name, "JPEG")
    (images / "gone.jpg").symlink_to(images / "nothing.jpg")
    (images / "again").symlink_to(images)  # a folder that holds itself
    os.mkfifo(images / "pipe.jpg")
    with open(os.fsencode(images) + b"/latin \xfc.jpg", "wb") as stream:
        stream.write(b"not read")
    first = workspace.run("extract_features")
    assert (first.rows_in, first.written, first.quarantined) == (len(NAMES) + 3, len(NAMES), 3)
    assert sorted(row.image_id for row in workspace.table("features").read().collect()) == sorted(NAMES)
    assert workspace.reasons("extract_features") == dict.fromkeys(
        ["gone.jpg", "pipe.jpg", "latin \\xfc.jpg"], "unreadable_file"
    )
    again = workspace.run("extract_features")
    assert (again.rows_in, again.unchanged, again.quarantined) == (first.rows_in, len(NAMES), 3)


def test_a_folder_that_looks_like_a_pattern_is_read_and_not_its_neighbour(spark, tmp_path):
    workspace = Workspace(tmp_path, ["storage.format=parquet"])
    for folder in ("photos [24]", "photos 2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_text(folder)
    uri = f"file://{tmp_path}/photos [24]"
    (row,) = hashed_photos(spark, uri, 100).collect()
    assert row.content_hash == hashlib.sha256(b"photos [24]").hexdigest()
    outcome = workspace.run("extract_features", f"corpus.root={tmp_path}/photos [24]", "dry_run=true")
    assert outcome.metrics["photos"] == {"folder": f"{tmp_path}/photos [24]", "files": 1}
    assert not (tmp_path / "warehouse").exists()


def test_a_photo_that_changed_but_not_in_size_is_read_again_in_the_same_session(spark, tmp_path):
    for content in (b"first!", b"second"):
        (tmp_path / "a.jpg").write_bytes(content)
        (row,) = hashed_photos(spark, f"file://{tmp_path}", 100).persist().collect()
        assert row.content_hash == hashlib.sha256(content).hexdigest()


def test_a_store_that_spark_lists_accounts_for_what_spark_hides(spark, tmp_path):
    """viewfs is a file system of Hadoop's that is not local for this program."""
    photos = tmp_path / "photos [24]"
    (photos / "sub").mkdir(parents=True)
    contents = {
        "a.jpg": b"first",
        "sub/b 2.jpg": b"second",
        "_hidden.jpg": b"third",
        "empty.jpg": b"",
        "large.jpg": b"x" * 50,
    }
    for name, content in contents.items():
        (photos / name).write_bytes(content)
    configuration = spark.sparkContext._jsc.hadoopConfiguration()
    configuration.set("fs.viewfs.mounttable.corpora.link./here", f"file://{tmp_path}")
    folder = "viewfs://corpora/here/photos [24]"
    assert [(file.name, file.length) for file in photo_names(spark, folder)] == sorted(
        (name, len(content)) for name, content in contents.items()
    )
    rows = {row.image_id: row for row in hashed_photos(spark, folder, 20).collect()}
    assert set(rows) == set(contents)
    for name in ("a.jpg", "sub/b 2.jpg"):
        assert rows[name].content_hash == hashlib.sha256(contents[name]).hexdigest()
    assert [name for name, row in rows.items() if row.problem] == ["_hidden.jpg"]
    assert {name for name, row in rows.items() if row.content_hash is None} == {"_hidden.jpg", "empty.jpg", "large.jpg"}
    ids = spark.createDataFrame([("a.jpg",), ("sub/b 2.jpg",)], "image_id string").withColumn("more", F.lit(1))
    read = map_contents(ids, folder, lambda batches: batches, "image_id string, more int, content binary", 20)
    assert {row.image_id: bytes(row.content) for row in read.collect()} == {
        name: contents[name] for name in ("a.jpg", "sub/b 2.jpg")
    }
