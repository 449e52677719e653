"""Near-duplicates of training photos: a resized copy that was planted."""

from PIL import Image

from jobs.driver.corpus.photo_features import list_photos
from jobs.driver.validity.near_duplicates import find_near_duplicates, photo_hashes


def test_a_resized_copy_of_a_training_photo_is_found(spark, workspace):
    images = workspace.corpus / "images"
    copy = images / "holiday é #1.jpg"
    Image.open(images / "scene_000000.jpg").resize((91, 77)).save(copy, quality=60)
    (images / "broken.jpg").write_bytes(b"no picture")
    job = workspace.job("validate_externally", "storage.format=parquet")
    rows = list_photos(job, f"file://{images}").persist()
    hashes = photo_hashes(job, f"file://{images}", rows).persist()
    assert hashes.count() == 41  # all but the broken one
    training, other = (hashes.where(f"image_id {sign} '{copy.name}'") for sign in ("!=", "="))
    (found,) = find_near_duplicates(training, other, 8).to_dict("records")
    assert (found["image_id"], found["twin"]) == (copy.name, "scene_000000.jpg")
    version = job.warehouse.table("photo_hashes").version()
    photo_hashes(job, f"file://{images}", rows)
    assert job.warehouse.table("photo_hashes").version() == version  # nothing new, nothing read
