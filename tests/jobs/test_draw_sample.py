import json
from pathlib import Path

import pytest

import conf
from jobs import draw_sample
from jobs.driver.job import Job
from udfs.errors import InputError

LISTS = ("sample.trainImages.txt", "sample.devImages.txt", "sample.testImages.txt")


def draw(root, photos=20, **keys):
    overrides = [f"corpus.root={root}", f"sample.photos={photos}", "sample.side=32"]
    job = Job("draw_sample", conf.load(None, overrides + [f"sample.{key}={value}" for key, value in keys.items()]))
    outcome = draw_sample.main(job)
    outcome.check()
    assert "spark" not in vars(job)
    return outcome


def contents(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in Path(root).rglob("*") if path.is_file()}


def times(root):
    return {path: path.stat().st_mtime_ns for path in Path(root).rglob("*") if path.is_file()}


@pytest.fixture
def root(tmp_path):
    return tmp_path / "sample"


def test_the_layout_is_flickr8ks(root):
    outcome = draw(root)
    assert (outcome.rows_in, outcome.written, outcome.unchanged) == (20, 20, 0)
    assert outcome.metrics == {"captions": 100, "train": 16, "dev": 2, "test": 2}
    photos = sorted(path.name for path in (root / "images").iterdir())
    assert photos == [f"scene_{index:06}.jpg" for index in range(20)]
    assert sorted(path.name for path in root.iterdir()) == sorted(["images", "sample.json", "sample.token.txt", *LISTS])


def test_every_photo_has_five_captions_in_order(root):
    draw(root)
    lines = (root / "sample.token.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == [f"scene_{i:06}.jpg#{n}" for i in range(20) for n in range(5)]
    assert all(line.count("\t") == 1 and line.split("\t")[1].strip() for line in lines)


def test_the_split_lists_are_disjoint_and_cover_all(root):
    draw(root, photos=33)
    lists = [(root / name).read_text().split() for name in LISTS]
    names = [name for names in lists for name in names]
    assert len(names) == len(set(names))
    assert set(names) == {path.name for path in (root / "images").iterdir()}
    assert all(lists)


def test_two_folders_get_the_same_files(tmp_path):
    draw(tmp_path / "one")
    draw(f"file://{tmp_path}/two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_second_run_touches_nothing(root):
    draw(root)
    before = times(root)
    outcome = draw(root)
    assert (outcome.rows_in, outcome.written, outcome.unchanged) == (20, 0, 20)
    assert times(root) == before


def test_more_photos_leave_the_old_ones_and_their_splits(root):
    draw(root)
    old, lists = times(root / "images"), {name: (root / name).read_text() for name in LISTS}
    captions = (root / "sample.token.txt").read_text()
    outcome = draw(root, photos=30)
    assert (outcome.rows_in, outcome.written, outcome.unchanged) == (30, 10, 20)
    assert old.items() <= times(root / "images").items()
    assert (root / "sample.token.txt").read_text().startswith(captions)
    assert all((root / name).read_text().startswith(text) for name, text in lists.items())


@pytest.mark.parametrize("keys", [{"photos": 10}, {"seed": 1}, {"side": 48}])
def test_another_sample_is_drawn_anew_and_strangers_stay(root, tmp_path, keys):
    draw(root)
    strangers = [root / "images" / "scene_my_own.jpg", root / "notes.txt"]
    for stranger in strangers:
        stranger.write_text("mine")
    outcome = draw(root, **keys)
    assert outcome.written == outcome.rows_in
    draw(tmp_path / "fresh", **keys)
    assert all(stranger.read_text() == "mine" for stranger in strangers)
    for stranger in strangers:
        stranger.unlink()
    assert contents(root) == contents(tmp_path / "fresh")


def test_what_is_missing_is_drawn_again(root):
    draw(root)
    whole = contents(root)
    (root / "images" / "scene_000007.jpg").unlink()
    (root / LISTS[1]).unlink()
    assert draw(root).written == 1
    assert contents(root) == whole


@pytest.mark.parametrize("photos", [20, 10])
def test_a_drawing_cut_short_is_taken_up_again(root, tmp_path, monkeypatch, photos):
    def stop(root, sample, index):
        if index == 15:
            raise KeyboardInterrupt
        paint(root, sample, index)

    paint = draw_sample.draw_photo
    with monkeypatch.context() as patch:
        patch.setattr(draw_sample, "draw_photo", stop)
        with pytest.raises(KeyboardInterrupt):
            draw(root)
    assert draw(root, photos).written == (5 if photos == 20 else 10)
    draw(tmp_path / "fresh", photos)
    assert contents(root) == contents(tmp_path / "fresh")


@pytest.mark.parametrize("name", ["images/1000268201.jpg", "Flickr8k.token.txt", "sample.json"])
def test_a_corpus_that_it_did_not_draw_is_refused(root, name):
    (root / name).parent.mkdir(parents=True)
    (root / name).write_text(json.dumps({"somebody": "else"}))
    with pytest.raises(InputError, match=r"corpus\.root: .*expected an empty folder"):
        draw(root)
    assert list(contents(root)) == [name]


@pytest.mark.parametrize("uri", ["s3a://bucket/sample", "hdfs:/sample", "dbfs:/sample"])
def test_a_root_that_is_not_local_is_refused(uri):
    with pytest.raises(InputError, match=f"corpus.root: found {uri}, expected a local path"):
        draw(uri)


def test_a_file_in_place_of_the_folder_is_refused(root):
    root.write_text("a file")
    with pytest.raises(InputError, match=r"corpus\.root: .*expected a folder"):
        draw(root)
