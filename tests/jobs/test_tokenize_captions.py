import json
from collections import Counter

import pytest
from PIL import Image

from udfs.captioner.text import END, RESERVED, START, UNKNOWN
from udfs.errors import InputError


@pytest.fixture
def small(workspace):
    """Six photos with hand-written captions and lists; in Parquet, whose commits are quick."""
    workspace.overrides.append("storage.format=parquet")
    for path in (workspace.corpus).rglob("*"):
        if path.is_file():
            path.unlink()
    for name in "abcdef":
        Image.new("RGB", (20, 20)).save(workspace.corpus / "images" / f"{name}.jpg")
    write(workspace, "x.trainImages.txt", "a.jpg\nb.jpg\nc.jpg\n")
    write(workspace, "x.devImages.txt", "d.jpg\n")
    write(workspace, "x.testImages.txt", "e.jpg\n")
    write(workspace, "x.token.txt", "".join(f"{line}\n" for line in GOOD))
    return workspace


GOOD = [
    "a.jpg#0\tA dog runs , quickly .",
    "a.jpg#1\tThe DOG's ball !",
    "b.jpg#0\tA tri-colored dog",
    "c.jpg#0\tA cat",
    "d.jpg#0\tA zebra runs",
    "e.jpg#0\tA zebra sleeps",
]


def write(workspace, name: str, text: str | bytes) -> None:
    (workspace.corpus / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def words_of(workspace) -> dict[str, tuple[int, int]]:
    return {row.token: (row.token_id, row["count"]) for row in workspace.table("vocabulary").read().collect()}


def token_ids(workspace) -> dict[str, list[int]]:
    rows = workspace.table("tokens").read().collect()
    return {f"{row.image_id}#{row.caption_no}": list(row.token_ids) for row in rows}


def test_vocabulary_counts_the_training_split_alone(small):
    outcome = small.run("tokenize_captions", "text.min_count=1")
    assert (outcome.rows_in, outcome.written, outcome.quarantined) == (6, 6, 0)
    found = words_of(small)
    assert [found[token] for token in RESERVED] == [(0, 0), (1, 0), (2, 0), (3, 0)]
    counts = Counter(["a", "dog", "runs", "quickly", "the", "dogs", "ball", "a", "tricolored", "dog", "a", "cat"])
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    assert found == {
        **{token: (number, 0) for number, token in enumerate(RESERVED)},
        **{word: (number, counts[word]) for number, word in enumerate(ranked, len(RESERVED))},
    }
    ids = token_ids(small)
    number = {word: found[word][0] for word in found}
    assert ids["a.jpg#0"] == [START, number["a"], number["dog"], number["runs"], number["quickly"], END]
    assert ids["d.jpg#0"] == [START, number["a"], UNKNOWN, number["runs"], END]


def test_the_thesis_cleaning_is_a_switch(small):
    small.run("tokenize_captions", "text.min_count=1", "text.letters_only=true")
    assert "a" not in words_of(small)


def test_rare_words_are_unknown_and_long_captions_are_cut(small):
    small.run("tokenize_captions", "text.min_count=2", "text.max_length=3")
    assert set(words_of(small)) == {*RESERVED, "a", "dog"}
    assert token_ids(small)["a.jpg#0"] == [START, 4, 5, UNKNOWN]
    assert token_ids(small)["c.jpg#0"] == [START, 4, UNKNOWN, END]


def test_the_second_run_does_nothing_and_a_new_caption_is_new(small):
    first = small.run("tokenize_captions", "text.min_count=1")
    again = small.run("tokenize_captions", "text.min_count=1")
    assert (again.written, again.unchanged, again.version) == (0, 6, first.version)
    write(small, "x.token.txt", "\n".join([*GOOD, "d.jpg#1\tA cat runs"]))
    third = small.run("tokenize_captions", "text.min_count=1")
    assert (third.rows_in, third.written, third.unchanged) == (7, 1, 6)
    assert third.version > first.version


BAD = {
    "no tab here": "malformed",
    "a.jpg\tno number": "malformed",
    "zzz.jpg#0\tan unknown photo": "unknown_photo",
    "b.jpg#7\t": "empty_caption",
    "b.jpg#8\t . , ! ": "empty_caption",
    "b.jpg#9\t" + "word " * 10_000: "too_many_words",
    "a.jpg#0\tthe same key again": "duplicate_caption",
    "../a.jpg#0\toutside": "outside_corpus",
    "images/../../a.jpg#0\toutside": "outside_corpus",
    "/etc/passwd#0\toutside": "outside_corpus",
    "f.jpg#0\tin no list": "in_no_split",
}


def test_each_bad_caption_is_quarantined_with_its_reason(small):
    write(small, "x.token.txt", "\n".join([*GOOD, *BAD]).encode() + b"\nb.jpg#3\tbroken \xff\xfe bytes\n\n")
    outcome = small.run("tokenize_captions", "text.min_count=1")
    assert (outcome.rows_in, outcome.written, outcome.quarantined) == (6 + len(BAD) + 1, 6, len(BAD) + 1)
    found = Counter(row.reason for row in small.table("quarantine").read().collect())
    assert found == Counter([*BAD.values(), "invalid_utf8"])
    assert "an unknown photo" not in str(words_of(small))
    again = small.run("tokenize_captions", "text.min_count=1")
    assert (again.written, again.unchanged, again.quarantined) == (0, 6, len(BAD) + 1)


def test_a_photo_in_two_splits_is_refused(small):
    write(small, "x.testImages.txt", "e.jpg\na.jpg\n")
    outcome = small.run("tokenize_captions", "text.min_count=1")
    assert (outcome.written, outcome.quarantined) == (4, 2)
    assert set(small.reasons("tokenize_captions").values()) == {"in_two_splits"}


def test_windows_line_ends_and_blank_lines(small):
    write(small, "x.token.txt", "\r\n".join([*GOOD[:3], "", *GOOD[3:]]))
    write(small, "x.trainImages.txt", "a.jpg\r\nb.jpg\r\nc.jpg\r\n")
    assert small.run("tokenize_captions", "text.min_count=1").written == 6
    assert small.table("captions").read().where("text like '%\r'").isEmpty()


def test_the_csv_form(small):
    (small.corpus / "x.token.txt").unlink()
    rows = [
        "image,caption",
        "a.jpg,A dog runs",
        'a.jpg,"A dog, and a ""big"" cat"',
        "d.jpg,A cat",
        "broken line",
        "e.jpg,",
    ]
    write(small, "captions.txt", "\n".join(rows) + "\n")
    outcome = small.run("tokenize_captions", "text.min_count=1")
    assert (outcome.rows_in, outcome.written, outcome.quarantined) == (5, 3, 2)
    texts = {(row.image_id, row.caption_no): row.text for row in small.table("captions").read().collect()}
    assert texts[("a.jpg", 0)] == "A dog runs"
    assert texts[("a.jpg", 1)] == 'A dog, and a "big" cat'


def test_a_table_that_changed_is_read_again_in_the_same_session(small):
    (small.corpus / "x.token.txt").unlink()
    for word in ("dog", "cat"):
        write(small, "captions.csv", "image,caption\n" + "".join(f'{name}.jpg,"A {word}"\n' for name in "abcde"))
        assert small.run("tokenize_captions", "text.min_count=1").written == 5
        assert {row.text for row in small.table("captions").read().collect()} == {f"A {word}"}


def test_without_lists_a_hash_deals_the_splits(workspace):
    for path in workspace.corpus.glob("*Images.txt"):
        path.unlink()
    workspace.run("tokenize_captions")
    splits = {row.image_id: row.split for row in workspace.table("captions").read().collect()}
    counts = Counter(splits.values())
    assert set(counts) == {"train", "dev", "test"}
    assert counts["train"] > counts["dev"] + counts["test"]
    assert len(splits) == 40


def test_without_a_validation_split_part_of_training_becomes_it(small):
    (small.corpus / "x.devImages.txt").unlink()
    small.run("tokenize_captions", "text.min_count=1", "corpus.validation_fraction=0.5")
    splits = {row.image_id: row.split for row in small.table("captions").read().collect()}
    assert set(splits.values()) == {"train", "dev", "test"}


def test_coco_captions(small):
    (small.corpus / "x.token.txt").unlink()
    for path in small.corpus.glob("*Images.txt"):
        path.unlink()
    for split, images in (("train", {1: "a.jpg", 2: "b.jpg"}), ("val", {3: "d.jpg"})):
        notes = [{"id": 10 * key, "image_id": key, "caption": f"A photo number {key}."} for key in images]
        notes += [{"id": 99, "image_id": 77, "caption": "Of no photo."}] if split == "train" else []
        content = {"images": [{"id": key, "file_name": name} for key, name in images.items()], "annotations": notes}
        write(small, f"captions_{split}2017.json", json.dumps(content))
    outcome = small.run("tokenize_captions", "text.min_count=1")
    assert (outcome.written, outcome.quarantined) == (3, 1)
    splits = {row.image_id: row.split for row in small.table("captions").read().collect()}
    assert splits == {"a.jpg": "train", "b.jpg": "train", "d.jpg": "dev"}


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda ws: ws.corpus.rename(ws.folder / "gone"), r"corpus\.root.*not found"),
        (lambda ws: (ws.corpus / "x.token.txt").unlink(), r"corpus\.captions: found no caption file"),
        (lambda ws: write(ws, "x.token.txt", ""), "found no captions"),
        (lambda ws: write(ws, "x.trainImages.txt", "nothing.jpg\n"), "can be used for training"),
        (lambda ws: [path.unlink() for path in (ws.corpus / "images").iterdir()], "found no photos"),
    ],
)
def test_a_corpus_that_cannot_be_used(small, break_it, words):
    break_it(small)
    with pytest.raises(InputError, match=words):
        small.run("tokenize_captions", "text.min_count=1")
