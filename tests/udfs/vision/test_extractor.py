import pytest

import conf
from jobs.driver.corpus.configured_extractor import extractor_of
from udfs.vision.extractor import Extractor, preprocessing_of

SMALL = ["extractor.name=mobilenet_v2", "extractor.weights=random:0"]


def test_how_photos_are_resized_is_part_of_the_fingerprint():
    antialias, nearest = (extractor_of(conf.load(None, [*SMALL, *more])) for more in ([], ["extractor.resize=nearest"]))
    assert (antialias.resize, nearest.resize) == ("antialias", "nearest")
    assert antialias.fingerprint != nearest.fingerprint


def test_the_default_layer_of_a_known_network_is_its_usual_one():
    extractor = extractor_of(conf.load(None, [*SMALL, "extractor.layer=default"]))
    assert (extractor.layer, extractor.pooling) == ("out_relu", "avg")


def test_nearest_keeps_the_fingerprints_of_earlier_versions():
    assert preprocessing_of(True, "nearest") == "keras.applications, RGB, nearest"
    assert preprocessing_of(False, "nearest") == "keras.applications, converted to RGB, nearest"
    assert conf.load("conf/thesis.yaml", []).extractor.resize == "nearest"
    assert Extractor("vgg16", "fc2", "none", "float32", "random:0", "x").resize == "nearest"


def test_an_extractor_of_a_later_version_is_not_taken_for_another():
    with pytest.raises(ValueError, match=r"preprocessing: found .*lanczos"):
        Extractor("vgg16", "fc2", "none", "float32", "random:0", "x", "keras.applications, RGB, lanczos")
