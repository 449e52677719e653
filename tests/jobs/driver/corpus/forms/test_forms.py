"""Every form of caption file: what is found from its first lines, and what is read."""

import json

import pytest

from jobs.driver.corpus.forms import form_of
from jobs.driver.corpus.forms.caption import decoded, head_of, text_lines
from jobs.driver.corpus.forms.columns import Columns
from udfs.errors import InputError


def read(text: str | bytes, **columns: str):
    """The form of a text, and (image_id, caption_no, text, split) of its captions."""
    content = text.encode() if isinstance(text, str) else text
    head = head_of("captions.txt", content, complete=True)
    form = form_of(head, Columns(columns))
    if form is None:
        return None, []
    whole = decoded(content, head.encoding)
    return form, list(form.parse(text_lines(whole) if form.by_line else [whole]))


def keys(captions) -> list:
    return [(caption.image_id, caption.text) for caption in captions]


A, B = ("a.jpg", "A dog runs fast"), ("b c.jpg", "A cat sleeps here")
TWO_CAPTIONS = {
    "tokens": "a.jpg#0\tA dog runs fast\nb c.jpg#0\tA cat sleeps here\n",
    "tokens with spaces": "a.jpg#0   A dog runs fast\nb c.jpg#0 A cat sleeps here\n",
    "spaces": "a.jpg A dog runs fast\nb c.jpg   A cat sleeps here\n",
    "comma": "image,caption\na.jpg,A dog runs fast\nb c.jpg,A cat sleeps here\n",
    "byte order mark": "\ufeffimage,caption\na.jpg,A dog runs fast\nb c.jpg,A cat sleeps here\n",
    "carriage returns": "image,caption\ra.jpg,A dog runs fast\rb c.jpg,A cat sleeps here\r",
    "windows": "image,caption\r\na.jpg,A dog runs fast\r\nb c.jpg,A cat sleeps here\r\n",
    "quoted": 'image,caption\n"a.jpg","A dog runs fast"\n"b c.jpg", "A cat sleeps here"\n',
    "other order": "caption,image\nA dog runs fast,a.jpg\nA cat sleeps here,b c.jpg\n",
    "other names": "file_name,text\na.jpg,A dog runs fast\nb c.jpg,A cat sleeps here\n",
    "camel case": "imageName;commentNumber;Comment\na.jpg;0;A dog runs fast\nb c.jpg;0;A cat sleeps here\n",
    "flickr30k": "image_name| comment_number| comment\na.jpg| 0| A dog runs fast\nb c.jpg| 0| A cat sleeps here\n",
    "numbers": "image_name,comment_number,comment\na.jpg,0,A dog runs fast\nb c.jpg,0,A cat sleeps here\n",
    "index": ",image,caption\n0,a.jpg,A dog runs fast\n1,b c.jpg,A cat sleeps here\n",
    "tabs": "filename\tsentence\na.jpg\tA dog runs fast\nb c.jpg\tA cat sleeps here\n",
    "no header": "a.jpg,A dog runs fast\nb c.jpg,A cat sleeps here\n",
    "no header, tabs": "a.jpg\tA dog runs fast\nb c.jpg\tA cat sleeps here\n",
    "no header, |": "a.jpg|A dog runs fast\nb c.jpg|A cat sleeps here\n",
    "no header, numbers": "a.jpg,0,A dog runs fast\nb c.jpg,0,A cat sleeps here\n",
    "no header, caption first": "A dog runs fast;a.jpg\nA cat sleeps here;b c.jpg\n",
    "json lines": '{"file_name": "a.jpg", "text": "A dog runs fast"}\n{"file_name": "b c.jpg", "text": "A cat sleeps here"}\n',
    "json list": json.dumps([{"image": "a.jpg", "caption": A[1]}, {"image": "b c.jpg", "caption": [B[1]]}]),
    "json mapping": json.dumps({"a.jpg": [A[1]], "b c.jpg": B[1]}),
    "list in a cell": 'raw,filename\n"[""A dog runs fast""]",a.jpg\n"[""A cat sleeps here""]",b c.jpg\n',
    "text ids": json.dumps({
        "images": [{"id": "img1", "file_name": "a.jpg"}, {"id": "2", "file_name": "b c.jpg"}],
        "annotations": [{"id": 1, "image_id": "img1", "caption": A[1]}, {"id": 2, "image_id": 2, "caption": B[1]}],
    }),
    "images listed twice": json.dumps({
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b c.jpg"}] * 2,
        "annotations": [{"id": 1, "image_id": 1, "caption": A[1]}, {"id": 2, "image_id": 2, "caption": B[1]}],
    }),
    "karpathy": json.dumps({"dataset": "flickr8k", "images": [
        {"filename": "a.jpg", "split": "restval", "sentences": [{"raw": A[1], "tokens": ["a"]}]},
        {"filename": "b c.jpg", "split": "val", "sentences": [{"raw": B[1], "tokens": ["a"]}]},
    ]}),
}  # fmt: skip


@pytest.mark.parametrize("kind", TWO_CAPTIONS)
def test_each_form_is_read_by_its_content(kind):
    _, captions = read(TWO_CAPTIONS[kind])
    assert keys(captions) == [A, B]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32"])
@pytest.mark.parametrize("kind", ["tokens", "comma", "flickr30k", "json lines", "json list"])
def test_other_encodings_are_read(kind, encoding):
    assert keys(read(TWO_CAPTIONS[kind].encode(encoding))[1]) == [A, B]


def test_latin_1_is_refused_by_name():
    text = "image,caption\n" + "".join(f"a{number}.jpg,Ein Mädchen läuft über die Straße\n" for number in range(9))
    with pytest.raises(InputError, match=r"corpus\.encoding: captions.txt is not UTF-8.*Mädchen läuft.*cp1252"):
        read(text.encode("latin-1"))
    head = head_of("captions.txt", text.encode("latin-1"), complete=True, encoding="cp1252")
    assert "Mädchen" in head.text


def test_splits_in_a_column_and_in_karpathys_files():
    _, captions = read(
        "image,caption,split\na.jpg,A dog runs fast,train\nb.jpg,A cat,valid\nc.jpg,A cow,Validation\nd.jpg,A,\n"
    )
    assert [caption.split for caption in captions] == ["train", "dev", "dev", ""]
    form, captions = read(TWO_CAPTIONS["karpathy"])
    assert form.has_splits
    assert [caption.split for caption in captions] == ["train", "dev"]


def test_unquoted_commas_belong_to_the_caption_of_two_columns():
    _, captions = read("image,caption\na.jpg,A dog shakes its head near the shore , a red ball\nb.jpg,A cat\n")
    assert keys(captions) == [("a.jpg", "A dog shakes its head near the shore , a red ball"), ("b.jpg", "A cat")]
    assert [caption.joined for caption in captions] == [True, False]
    _, captions = read("caption,image\nA dog , a red ball,a.jpg\nA cat,b.jpg\n")
    assert keys(captions) == [("A dog , a red ball", "a.jpg")[::-1], ("b.jpg", "A cat")]
    _, captions = read("a.jpg,A dog , a red ball\nb.jpg,A cat sleeps here\n")
    assert keys(captions)[0] == ("a.jpg", "A dog , a red ball")


def test_unquoted_commas_among_three_columns_make_the_row_malformed():
    _, captions = read("image,number,caption\na.jpg,0,A dog , a ball\nb.jpg,0,A cat\nc.jpg 4 A cow\n")
    assert keys(captions) == [(None, None), ("b.jpg", "A cat"), (None, None)]
    assert captions[0].line == "a.jpg,0,A dog , a ball"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_an_unclosed_quote_costs_its_row_only(delimiter):
    lines = ["image,caption", 'a.jpg,"A dog runs', 'b.jpg,"A cat, asleep"', "c.jpg,A cow", 'd.jpg,"An end']
    _, captions = read(
        "\n".join(lines)
        .replace(
            ",",
            delimiter,
        )
        .replace(f"cat{delimiter} ", "cat, ")
    )
    assert keys(captions) == [(None, None), ("b.jpg", "A cat, asleep"), ("c.jpg", "A cow"), (None, None)]


def test_a_quoted_caption_may_span_lines():
    _, captions = read('image,caption\na.jpg,"A dog\nruns\n\n""fast"""\nb.jpg,A cat\n"c.jpg","A\ncow"\n')
    assert keys(captions) == [("a.jpg", 'A dog\nruns\n\n"fast"'), ("b.jpg", "A cat"), ("c.jpg", "A\ncow")]
    _, captions = read('caption,image\n"A dog\nruns",a.jpg\nA cat,b.jpg\n')
    assert keys(captions) == [("a.jpg", "A dog\nruns"), ("b.jpg", "A cat")]


def test_text_after_a_closing_quote_makes_the_row_malformed():
    _, captions = read('image,caption\na.jpg,"A dog" runs\nb.jpg,A "big" cat\n')
    assert keys(captions) == [(None, None), ("b.jpg", 'A "big" cat')]


def test_a_coco_annotation_that_is_repeated_keeps_its_number_and_unknown_images_have_no_name():
    notes = [{"id": 7, "image_id": 1, "caption": "One"}] * 2 + [{"id": 8, "image_id": 1, "caption": "Two"}]
    notes += [{"id": 9, "image_id": 5, "caption": "Of no image"}]
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    _, captions = read(json.dumps({"images": images, "annotations": notes}))
    assert [(caption.image_id, caption.caption_no) for caption in captions] == [
        ("a.jpg", 0),
        ("a.jpg", 0),
        ("a.jpg", 1),
        (None, 0),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "This is Flickr8k.\nIt has photos, and captions.\n",
        "a.jpg\nb.jpg\n",
        "filename,label\na.jpg,cat\nb.jpg,dog\n",
        "1056338697.jpg\t2549968784.jpg#2\t1\t1\t1\n" * 3,
        '{"drawn_by": "draw_sample", "photos": 3}',
        "[1, 2]",
    ],
)
def test_other_texts_are_no_captions(text):
    assert read(text) == (None, [])


def test_columns_by_hand():
    text = "foto,Text,Beschreibung\na.jpg,x,A dog runs fast\nb c.jpg,y,A cat sleeps here\n"
    assert keys(read(text, image="foto", caption="beschreibung")[1]) == [A, B]
    assert keys(read(text.partition("\n")[2], image="1", caption="3")[1]) == [A, B]
    with pytest.raises(InputError, match=r"corpus\.columns\.caption: found 'nothing'.*Beschreibung"):
        read(text, image="foto", caption="nothing")
    with pytest.raises(InputError, match=r"corpus\.columns: found 'photo', expected image"):
        read(text, photo="foto")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,caption,comment\na.jpg,A dog,B\n", r"corpus\.columns.*\(caption, comment\).*corpus\.columns\.caption=caption"),
        ("Bild,Beschreibung\na.jpg,A dog runs fast\n", r"corpus\.columns\.image=Bild.*corpus\.columns\.caption=Beschreibung"),
    ],
)  # fmt: skip
def test_ambiguous_columns_name_the_key_that_decides(text, words):
    with pytest.raises(InputError, match=words):
        read(text)


def test_of_several_columns_for_photos_the_one_with_pictures_counts():
    _, captions = read("image_id,image,caption\n17,a.jpg,A dog runs fast\n18,b c.jpg,A cat sleeps here\n")
    assert keys(captions) == [A, B]


def test_hostile_json_lines_cost_their_own_rows():
    deep, long = '{"image": "c.jpg", "caption": ' + "[" * 100_000, '{"image": "d.jpg", "caption": ' + "1" * 5000 + "}"
    lines = [
        *TWO_CAPTIONS["json lines"].splitlines(),
        deep,
        long,
        '{"image": ["e.jpg"]}',
        "[1]",
        '{"file_name": 7, "text": [[]]}',
    ]
    _, captions = read("\n".join(lines))
    assert keys(captions) == [A, B, *[(None, None)] * 4, ("7", None)]
