"""Corpora as people have them: what is found, counted and read, or refused with the key that decides."""

import json
import unicodedata

import pytest
from conftest import Workspace
from PIL import Image

from udfs.errors import InputError

NAMES = [f"{letter}.jpg" for letter in "abcdef"]
TEXTS = [f"A dog runs to the {place}" for place in ("shore", "hill", "house", "tree", "road", "wall")]
LINES = [f"{name}#0\t{text}\n" for name, text in zip(NAMES, TEXTS, strict=True)]
SPLITS = dict(zip(NAMES, ["train"] * 4 + ["dev", "test"], strict=True))


@pytest.fixture
def corpus(spark, tmp_path):
    """A function that writes a corpus, {path: text, bytes or None for a photo}, and inspects it with overrides."""
    workspace = Workspace(tmp_path, ["storage.format=parquet"])

    def call(files: dict, *overrides: str) -> dict:
        for name, content in files.items():
            path = workspace.corpus / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                Image.new("RGB", (20, 20)).save(path)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        outcome = workspace.run("inspect_corpus", *overrides)
        assert not (tmp_path / "warehouse").exists()
        return outcome.metrics

    call.workspace = workspace
    return call


def photos(folder: str = "images/", names=NAMES) -> dict:
    return {f"{folder}{name}": None for name in names}


def lists(pattern: str = "x.{}Images.txt", **names: str) -> dict:
    words = {"train": "train", "dev": "dev", "test": "test"} | names
    return {
        pattern.format(word): "".join(f"{name}\n" for name in NAMES if SPLITS[name] == split)
        for split, word in words.items()
    }


def table(delimiter: str = ",", header: tuple = ("image", "caption")) -> str:
    rows = [header, *zip(NAMES, TEXTS, strict=True)]
    return "".join(f"{delimiter.join(row)}\n" for row in rows if row)


EVEN = {"train": 4, "dev": 1, "test": 1}


def test_the_report_names_all_that_was_found(corpus):
    found = corpus(
        {**photos(), "x.token.txt": "".join(LINES), **lists(), "readme.txt": "Photos, and their captions.\n"}
    )
    root = str(corpus.workspace.corpus)
    assert found["photos"] == {"folder": f"{root}/images", "files": 6}
    assert found["caption_files"] == [
        {"file": f"{root}/x.token.txt", "form": "tokens, NAME#NUMBER<tab>CAPTION", "encoding": "utf-8"}
    ]
    assert found["splits"] == {
        "from": "split lists",
        "lists": {split: f"{root}/x.{split}Images.txt" for split in ("train", "dev", "test")},
    }
    assert "readme.txt" in found["not_used"]
    assert (found["captions"], found["accepted"], found["refused"]) == (6, EVEN, {})
    assert found["first_captions"] == [[NAMES[place], TEXTS[place], "train"] for place in range(3)]


def test_lemmas_beside_the_captions_are_left_out(corpus):
    lemmas = "".join(line.replace("runs", "run") for line in LINES)
    files = {**photos(), **lists(), "Flickr8k.token.txt": "".join(LINES), "Flickr8k.lemma.token.txt": lemmas}
    found = corpus(files)
    assert [file["file"].rsplit("/")[-1] for file in found["caption_files"]] == ["Flickr8k.token.txt"]
    assert found["first_captions"][0][1] == TEXTS[0]
    assert found["captions"] == 6
    assert "Flickr8k.lemma.token.txt" in found["not_used"]


@pytest.mark.parametrize("other", ["captions_en.csv", "dataset_flickr8k.json"])
def test_two_files_of_the_same_photos_are_ambiguous(corpus, other):
    karpathy = {"images": [{"filename": name, "split": "train", "sentences": [{"raw": "A dog"}]} for name in NAMES]}
    text = table() if other.endswith("csv") else json.dumps(karpathy)
    files = {**photos(), **lists(), "Flickr8k.token.txt": "".join(LINES), other: text}
    with pytest.raises(InputError, match=r"hold captions of the same photos; set corpus\.captions="):
        corpus(files)
    assert corpus({}, f"corpus.captions={other}")["captions"] == 6


def test_files_whose_beginnings_differ_and_that_hold_the_same_captions_are_refused(corpus, monkeypatch):
    monkeypatch.setattr("jobs.driver.corpus.caption_files.HEAD_BYTES", 60)
    files = {**photos(), **lists(), "a.token.txt": "".join(LINES), "b.token.txt": "".join(reversed(LINES))}
    with pytest.raises(InputError, match=r"corpus\.captions: 6 of 6 captions in .*b\.token\.txt"):
        corpus(files)


FORMS = {
    "flickr30k": ("results.csv", "image_name| comment_number| comment\n" + "".join(
        f"{name}| 0| {text}\n" for name, text in zip(NAMES, TEXTS, strict=True))),
    "numbered": ("captions.csv", "image_name,comment_number,comment\n" + "".join(
        f"{name},0,{text}\n" for name, text in zip(NAMES, TEXTS, strict=True))),
    "caption first": ("captions.csv", "caption,image\n" + "".join(
        f"{text},{name}\n" for name, text in zip(NAMES, TEXTS, strict=True))),
    "file_name, text": ("metadata.csv", table(header=("file_name", "text"))),
    "semicolons": ("captions.csv", table(";")),
    "tabs": ("captions.tsv", table("\t", ("filename", "sentence"))),
    "no header": ("captions.txt", table(header=())),
    "spaces": ("x.token.txt", "".join(LINES).replace("\t", "   ")),
    "carriage returns": ("captions.csv", table().replace("\n", "\r")),
    "utf-16": ("captions.csv", table().encode("utf-16")),
    "json lines": ("metadata.jsonl", "".join(
        json.dumps({"file_name": name, "text": text}) + "\n" for name, text in zip(NAMES, TEXTS, strict=True))),
    "hidden name": ("captions 10:30.csv", table()),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_read(corpus, form):
    name, content = FORMS[form]
    found = corpus({**photos(), **lists(), name: content})
    assert (found["captions"], found["accepted"], found["refused"]) == (6, EVEN, {})
    assert found["first_captions"] == [[NAMES[place], TEXTS[place], "train"] for place in range(3)]


def test_every_line_is_counted(corpus):
    rows = [
        "image,caption",
        "a.jpg,A dog shakes its head near the shore , a red ball",
        'b.jpg,"A dog runs',
        "c.jpg,A cat",
    ]
    rows += ['d.jpg,"A dog, and a ""cat"""', "zz.jpg,A dog , a ball", "e.jpg,A cow", "f.jpg,A cow", "no comma here"]
    found = corpus({**photos(), **lists(), "captions.csv": "\n".join(rows)})
    assert found["captions"] == len(rows) - 1
    assert found["refused"] == {"malformed": 3}
    assert found["accepted"] == {"train": 3, "dev": 1, "test": 1}
    assert found["first_captions"][0][1] == "A dog shakes its head near the shore , a red ball"


def coco(pairs, ids=lambda number: number, twice: bool = False) -> str:
    images = [{"id": ids(number), "file_name": name} for number, (name, _) in enumerate(pairs)] * (1 + twice)
    notes = [{"id": number, "image_id": ids(number), "caption": text} for number, (_, text) in enumerate(pairs)]
    return json.dumps({"info": {}, "images": images, "annotations": notes})


@pytest.mark.parametrize(("ids", "twice"), [(int, False), (str, True), (lambda number: f"img{number}", True)])
def test_coco_folders_as_distributed(corpus, ids, twice):
    pairs = list(zip(NAMES, TEXTS, strict=True))
    found = corpus({
        **photos("train2017/", NAMES[:4]), **photos("val2017/", NAMES[4:]),
        "annotations/captions_train2017.json": coco(pairs[:4], ids, twice),
        "annotations/captions_val2017.json": coco(pairs[4:], ids, twice),
        "annotations/instances_val2017.json": json.dumps({"images": [], "annotations": [{"bbox": []}]}),
    })  # fmt: skip
    assert found["photos"]["folder"] == str(corpus.workspace.corpus)
    assert (found["photos"]["files"], found["captions"], found["accepted"]) == (6, 6, {"dev": 2, "train": 4})
    assert found["splits"]["from"] == "the caption files' names"
    assert found["first_captions"][0] == ["train2017/a.jpg", TEXTS[0], "train"]


@pytest.mark.parametrize("folder", ["Flicker8k_Dataset/", "Flickr8k_Dataset/Flicker8k_Dataset/"])
def test_flickr8ks_two_archives_side_by_side(corpus, folder):
    files = {**photos(folder), "__MACOSX/._a.jpg": b"x", f"{folder}Thumbs.db": b"x"}
    files |= {f"Flickr8k_text/{name}": text for name, text in lists("Flickr_8k.{}Images.txt").items()}
    files |= {"Flickr8k_text/Flickr8k.token.txt": "".join(LINES), "Flickr8k_text/readme.txt": "Read, me.\n"}
    files |= {"Flickr8k_text/Flickr8k.lemma.token.txt": "".join(LINES)}
    files |= {"Flickr8k_text/ExpertAnnotations.txt": "a.jpg\tb.jpg#2\t1\t1\t1\n" * 9}
    files |= {"Flickr8k_text/CrowdFlowerAnnotations.txt": "a.jpg\tb.jpg#2\t0.5\t3\t0\n" * 9}
    found = corpus(files)
    assert (found["photos"]["files"], found["accepted"], found["refused"]) == (7, EVEN, {})


@pytest.mark.parametrize("prefix", ["", "cats/"])
def test_photos_in_folders_of_folders(corpus, prefix):
    files = {**photos("images/cats/", NAMES[:3]), **photos("images/dogs/small/", NAMES[3:]), **lists()}
    rows = [line if place > 2 else prefix + line for place, line in enumerate(LINES)]
    found = corpus({**files, "x.token.txt": "".join(rows)})
    assert (found["accepted"], found["refused"]) == (EVEN, {})
    assert found["first_captions"][0][0] == "cats/a.jpg"


def test_folders_with_photos_of_the_same_names_are_ambiguous(corpus):
    files = {**photos(), **photos("small/"), **lists(), "x.token.txt": "".join(LINES)}
    with pytest.raises(InputError, match=r"corpus\.photos: found the folders images, small"):
        corpus(files)
    assert corpus({}, "corpus.photos=small")["accepted"] == EVEN


def test_classes_with_photos_of_the_same_names_are_read_by_their_paths(corpus):
    files = {f"{name[0]}/1.jpg": None for name in NAMES}
    lines = [f"{name[0]}/1.jpg#0\t{text}\n" for name, text in zip(NAMES, TEXTS, strict=True)]
    splits = {split: "".join(f"{name[0]}/1.jpg\n" for name in NAMES if SPLITS[name] == split) for split in EVEN}
    found = corpus({**files, "x.token.txt": "".join(lines), **{f"{split}.txt": text for split, text in splits.items()}})
    assert (found["accepted"], found["refused"]) == (EVEN, {})


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("{}.txt", {}),
        ("{}Images.txt", {"dev": "val"}),
        ("splits/{}.txt", {"dev": "validation"}),
        ("karpathy_{}_images.txt", {"dev": "valid"}),
        ("lists/Flickr_8k.{}Images.txt", {}),
    ],
)
def test_split_lists_under_the_names_in_use(corpus, pattern, words):
    found = corpus({**photos(), "x.token.txt": "".join(LINES), **lists(pattern, **words)})
    assert found["accepted"] == EVEN
    assert set(found["splits"]["lists"]) == {"train", "dev", "test"}


def test_lists_named_by_hand_and_two_lists_of_a_split(corpus):
    files = {**photos(), "x.token.txt": "".join(LINES), **lists("{}.txt"), "lists/dev.txt": "f.jpg\n"}
    with pytest.raises(InputError, match=r"corpus\.splits: dev\.txt and lists/dev\.txt both list the split dev"):
        corpus(files)
    by_hand = "corpus.splits={train: train.txt, val: lists/dev.txt}"
    assert corpus({}, by_hand)["accepted"] == {"train": 4, "dev": 1}
    with pytest.raises(InputError, match=r"corpus\.splits\.train: .*nothing\.txt not found"):
        corpus({}, "corpus.splits={train: nothing.txt}")


def test_a_column_of_splits_is_used_and_must_agree_with_lists(corpus):
    words = ["train", "train", "training", "TRAIN", "valid", "test"]
    rows = "".join(f"{name},{text},{word}\n" for name, text, word in zip(NAMES, TEXTS, words, strict=True))
    found = corpus({**photos(), "captions.csv": f"image,caption,split\n{rows}"})
    assert (found["accepted"], found["splits"]["from"]) == (EVEN, "the caption file")
    found = corpus({"train.txt": "a.jpg\nb.jpg\nc.jpg\n", "test.txt": "d.jpg\nf.jpg\n"})
    assert (found["accepted"], found["refused"]) == ({"train": 3, "dev": 1, "test": 1}, {"in_two_splits": 1})


@pytest.mark.parametrize("word", ["valid", "validation", "val", "dev"])
def test_the_split_in_a_caption_files_name(corpus, word):
    rows = table().splitlines()
    parts = {
        "captions_train.csv": rows[:5],
        f"captions_{word}.csv": [rows[0], rows[5]],
        "captions_test.csv": [rows[0], rows[6]],
    }
    found = corpus({**photos(), **{name: "\n".join(lines) for name, lines in parts.items()}})
    assert found["accepted"] == EVEN


def test_karpathys_splits(corpus):
    words = ["train", "train", "restval", "restval", "val", "test"]
    images = [
        {
            "filename": name,
            "split": word,
            "sentences": [{"raw": text, "tokens": []}, {"raw": f"{text} again", "tokens": []}],
        }
        for name, word, text in zip(NAMES, words, TEXTS, strict=True)
    ]
    found = corpus({**photos(), "dataset_flickr8k.json": json.dumps({"images": images, "dataset": "flickr8k"})})
    assert found["accepted"] == {"train": 8, "dev": 2, "test": 2}


MATCHES = {
    "base_name": lambda name: f"Images/{name}",
    "ignore_case": lambda name: name.replace(".jpg", ".JPG"),
    "normalised": lambda name: f"/data/{unicodedata.normalize('NFD', name)}",
}


@pytest.mark.parametrize("match", MATCHES)
def test_names_that_differ_are_hinted_at_and_matched_by_a_key(corpus, match):
    names = [f"é{name}" if match == "normalised" else name for name in NAMES]
    rows = "".join(f"{MATCHES[match](name)},{text}\n" for name, text in zip(names, TEXTS, strict=True))
    splits = {f"{split}.txt": "".join(f"{name}\n" for name in names if SPLITS[name[-5:]] == split) for split in EVEN}
    files = {**photos(names=names), "captions.csv": f"image,caption\n{rows}", **splits}
    with pytest.raises(
        InputError, match=rf"none of 6 captions.*the photo.*corpus\.match={match} matches all of these names"
    ):
        corpus(files)
    found = corpus({}, f"corpus.match={match}")
    assert (found["accepted"], found["refused"]) == (EVEN, {})


def test_a_name_that_fits_several_photos_is_refused(corpus):
    files = {**photos("images/x/"), **photos("images/y/", ["a.jpg"]), **lists()}
    rows = ["x/a.jpg#0\tA dog runs far\n", "a.jpg#1\tA dog runs far\n", *LINES[1:]]
    with pytest.raises(InputError, match=r"corpus\.photos"):
        corpus({**files, "x.token.txt": "".join(rows)})
    found = corpus({"x.trainImages.txt": "x/a.jpg\nb.jpg\nc.jpg\nd.jpg\n"}, "corpus.photos=images")
    assert found["refused"] == {"ambiguous_photo": 1}


def test_too_few_photos_for_a_dev_split_are_named(corpus):
    with pytest.raises(InputError, match=r"found 6 photos with captions, which are too few for a split '(dev|train)'"):
        corpus({**photos(), "x.token.txt": "".join(LINES)})


def test_columns_that_only_a_key_decides(corpus):
    rows = "".join(f"{name},{text},no\n" for name, text in zip(NAMES, TEXTS, strict=True))
    files = {**photos(), **lists(), "captions.csv": f"image,caption,comment\n{rows}"}
    with pytest.raises(InputError, match=r"corpus\.columns: .*caption, comment.*corpus\.columns\.caption=caption"):
        corpus(files)
    assert corpus({}, "corpus.columns={caption: caption}")["first_captions"][0][1] == TEXTS[0]
    assert corpus({}, "corpus.columns.caption=comment")["first_captions"][0][1] == "no"


def test_other_encodings_by_key(corpus):
    rows = "".join(f"{name},Ein Mädchen läuft weit weg\n" for name in NAMES)
    files = {**photos(), **lists(), "captions.csv": f"image,caption\n{rows}".encode("latin-1")}
    with pytest.raises(InputError, match=r"corpus\.encoding: .*captions\.csv is not UTF-8.*cp1252"):
        corpus(files)
    assert corpus({}, "corpus.encoding=cp1252")["first_captions"][0][1] == "Ein Mädchen läuft weit weg"


@pytest.mark.parametrize("name", ["photos [2024]", "a{b}c*d?", "ünï 照片", "10:30"])
def test_folders_whose_names_look_like_patterns(corpus, name):
    corpus.workspace.folder = corpus.workspace.folder / name
    found = corpus({**photos(f"{name}/"), **lists(), "x.token.txt": "".join(LINES)})
    assert (found["photos"]["files"], found["accepted"]) == (6, EVEN)
