"""Names in captions, the photos that they mean, and hints for names that mean none."""

import unicodedata

import pytest

from jobs.driver.corpus.matching import MATCHES, PhotoNames, hint

NFC, NFD = "é.jpg", unicodedata.normalize("NFD", "é.jpg")


@pytest.mark.parametrize(
    ("name", "photos", "matches"),
    [
        ("x.jpg", ["x.jpg"], MATCHES),
        ("Images/x.jpg", ["x.jpg"], ("base_name", "normalised")),
        ("/data/photos/x.jpg", ["x.jpg"], ("base_name", "normalised")),
        ("C:\\photos\\x.jpg", ["x.jpg"], ("base_name", "normalised")),
        ("x.JPG", ["x.jpg"], ("ignore_case", "normalised")),
        ("Images/X.JPG", ["x.jpg"], ("normalised",)),
        (NFD, [NFC], ("normalised",)),
        (NFC, [NFD], ("normalised",)),
        ("x", ["x.jpg"], ("normalised",)),
        ("x.jpg", ["cats/x.jpg"], MATCHES),
        ("dogs/x.jpg", ["cats/x.jpg"], ("base_name", "normalised")),
        ("y.jpg", ["x.jpg"], ()),
    ],
)
def test_what_each_setting_matches(name, photos, matches):
    found = tuple(match for match in MATCHES if PhotoNames(tuple(photos), match).photo(name) == (photos[0], False))
    assert found == matches


def test_several_photos_are_ambiguous_and_an_equal_name_is_not():
    photos = PhotoNames(("a/x.jpg", "b/x.jpg", "A.jpg", "a.jpg"), "normalised")
    assert photos.photo("x.jpg") == (None, True)
    assert photos.photo("c/x.jpg") == (None, True)
    assert photos.photo("A.jpg") == ("A.jpg", False)
    assert photos.photo("b/x.jpg") == ("b/x.jpg", False)


@pytest.mark.parametrize(
    ("unknown", "words"),
    [
        (
            ["Images/x.jpg", "Images/y.jpg"],
            "is in another folder than the photo 'x.jpg'; corpus.match=base_name matches all",
        ),
        (["x.JPG"], "is in another case than the photo 'x.jpg'; corpus.match=ignore_case matches all"),
        (["x.JPG", "z.JPG"], "corpus.match=normalised matches 1 of 2"),
        ([NFD], f"is in another Unicode form than the photo {NFC!r}; corpus.match=normalised matches all"),
        (["x"], "has another suffix than the photo 'x.jpg'; corpus.match=normalised"),
        (["photo_17_large.jpg"], "the nearest photo to 'photo_17_large.jpg' is 'photo_17_larger.jpg'"),
        (["0.gif"], "no photo has a name like '0.gif'"),
    ],
)
def test_hints(unknown, words):
    assert words in hint(unknown, PhotoNames(("x.jpg", "y.jpg", NFC, "photo_17_larger.jpg")))
