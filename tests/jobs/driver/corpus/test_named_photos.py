"""Photos named by folder, by name and in lists."""

import pytest
from conftest import Workspace

from jobs.driver.corpus.named_photos import named_photos
from udfs.errors import InputError


@pytest.fixture
def named(spark, tmp_path):
    """Photos whose contents are their names, and a function from a `photos=` value to (image_id, content) in order."""
    for name in ("c.jpg", "a[1].jpg", "sub/b*{2}.png", "sub/list.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    job = Workspace(tmp_path, ["storage.format=parquet", "corpus.max_bytes=12"]).job("explain")

    def call(value: str, limit: int = 10):
        found = named_photos(job, "explain.photos", value.replace("HERE", str(tmp_path)), limit)
        rows = [(row.image_id, row.content and row.content.decode()) for row in found.rows.orderBy("place").collect()]
        assert found.count == len(rows)
        return [(name.replace(str(tmp_path), "HERE"), content) for name, content in rows], found.left_out

    call.folder = tmp_path
    return call


def test_a_folder_in_order_of_names(named):
    (named.folder / "0_empty.jpg").touch()
    found, left_out = named("HERE", 4)
    assert found == [("0_empty.jpg", None), ("a[1].jpg", "a[1].jpg"), ("c.jpg", "c.jpg"), ("sub/b*{2}.png", None)]
    assert left_out == 1


def test_pictures_and_lists_in_the_order_given(named):
    (named.folder / "sub" / "some.txt").write_text("list.jpg\n\n  ../c.jpg\nlist.jpg\n")
    found, left_out = named("HERE/sub/some.txt, HERE/a[1].jpg")
    assert found == [
        ("HERE/sub/list.jpg", "sub/list.jpg"),
        ("HERE/sub/../c.jpg", "c.jpg"),
        ("HERE/a[1].jpg", "a[1].jpg"),
    ]
    assert left_out == 0
    assert named("HERE/sub/some.txt", 1) == ([("HERE/sub/list.jpg", "sub/list.jpg")], 1)


@pytest.mark.parametrize("value", ["HERE/none.jpg", "HERE/none.txt", "HERE/c.jpg,HERE/sub", "HERE/empty"])
def test_what_is_not_there_is_named(named, value):
    (named.folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"^explain\.photos: "):
        named(value)
