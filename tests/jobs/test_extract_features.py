import shutil
import sys

import h5py
import keras
import numpy as np
import pytest
from conftest import session_settings
from feature_cells import feature_of
from PIL import Image
from pyspark.sql import functions as F

sys.path.insert(0, "tests/udfs/vision")
from test_decode import BAD_PICTURES, CONVERTED, encoded, noise, with_exif
from test_isolated_decoder import FAULTS

from udfs.errors import InputError


def features(workspace) -> dict[str, np.ndarray]:
    return {row.image_id: feature_of(row) for row in workspace.table("features").read().collect()}


def few_photos(workspace, count: int = 6) -> list[str]:
    photos = sorted((workspace.corpus / "images").iterdir())
    for photo in photos[count:]:
        photo.unlink()
    return [photo.name for photo in photos[:count]]


def test_only_new_and_changed_photos_are_computed(workspace):
    names = few_photos(workspace)
    first = workspace.run("extract_features")
    assert (first.rows_in, first.written, first.unchanged) == (6, 6, 0)
    before = features(workspace)
    assert sorted(before) == names
    assert {len(feature) for feature in before.values()} == {144}

    again = workspace.run("extract_features")
    assert (again.written, again.unchanged, again.version) == (0, 6, first.version)

    Image.new("RGB", (64, 64), "red").save(workspace.corpus / "images" / names[0])
    Image.new("RGB", (64, 64), "blue").save(workspace.corpus / "images" / "new photo #1%20.jpg")
    third = workspace.run("extract_features")
    assert (third.rows_in, third.written, third.unchanged) == (7, 2, 5)
    after = features(workspace)
    assert sorted(after) == sorted([*names, "new photo #1%20.jpg"])
    assert not np.array_equal(after[names[0]], before[names[0]])
    assert all(np.array_equal(after[name], before[name]) for name in names[1:])

    other = workspace.run("extract_features", "extractor.weights=random:1")
    assert (other.written, other.unchanged) == (7, 0)
    rows = workspace.table("features").read().collect()
    assert len({row.extractor for row in rows}) == 2, "features of two extractors stand side by side"
    assert len(rows) == 14


def test_bad_pictures_are_quarantined_while_the_rest_goes_on(workspace):
    names = few_photos(workspace, 3)
    for reason, content in BAD_PICTURES.items():
        (workspace.corpus / "images" / f"{reason}.jpg").write_bytes(content)
    (workspace.corpus / "images" / "large.jpg").write_bytes(b"x" * 3_000_000)
    limits = ["corpus.max_bytes=2999999", "corpus.strict=true"]
    outcome = workspace.run("extract_features", *limits)
    assert (outcome.rows_in, outcome.written) == (3 + len(BAD_PICTURES) + 1, 3)
    expected = {f"{reason}.jpg": reason for reason in BAD_PICTURES} | {"large.jpg": "too_many_bytes"}
    assert workspace.reasons("extract_features") == expected

    again = workspace.run("extract_features", *limits)
    assert (again.written, again.unchanged, again.quarantined) == (0, 3, len(expected))

    # A photo that goes bad loses its feature; one that was mended leaves the quarantine.
    (workspace.corpus / "images" / names[0]).write_bytes(b"")
    shutil.copy(workspace.corpus / "images" / names[1], workspace.corpus / "images" / "empty_file.jpg")
    third = workspace.run("extract_features", *limits)
    assert (third.written, third.unchanged, third.quarantined) == (1, 2, len(expected))
    assert sorted(features(workspace)) == sorted(["empty_file.jpg", *names[1:]])
    assert workspace.reasons("extract_features")[names[0]] == "empty_file"


def test_pictures_of_other_kinds_are_converted_and_counted(workspace):
    names = few_photos(workspace, 2)
    for reason in CONVERTED:
        (workspace.corpus / "images" / f"{reason}.jpg").write_bytes(BAD_PICTURES[reason])
    whole = (workspace.corpus / "images" / names[0]).read_bytes()
    (workspace.corpus / "images" / "cut.jpg").write_bytes(whole[:-2])
    outcome = workspace.run("extract_features")
    assert (outcome.rows_in, outcome.written, outcome.quarantined) == (7, 7, 0)
    assert outcome.metrics["notes"] == dict.fromkeys(sorted([*CONVERTED, "no_end_marker"]), 1)
    by_name = features(workspace)
    assert np.array_equal(by_name["cut.jpg"], by_name[names[0]])

    again = workspace.run("extract_features")
    assert (again.written, again.unchanged, again.metrics["notes"]) == (0, 7, {})
    # Strict features do not mix with converted ones: they have a fingerprint of their own.
    strict = workspace.run("extract_features", "corpus.strict=true")
    assert (strict.written, strict.unchanged, strict.quarantined) == (3, 0, 4)
    assert strict.metrics["extractor"] != outcome.metrics["extractor"]
    assert workspace.reasons("extract_features") == {f"{reason}.jpg": reason for reason in CONVERTED}
    rows = workspace.table("features").read().where(F.col("extractor") == strict.metrics["extractor"]).collect()
    assert sorted(row.image_id for row in rows) == sorted([*names, "cut.jpg"])


def test_a_photo_that_ends_its_decoder_costs_neither_the_others_nor_the_job(workspace, spark, tmp_path):
    """A crash of a decoder, garbage instead of EXIF, and formats that are not read, each in a corpus with good photos."""
    (tmp_path / "sitecustomize.py").write_text(FAULTS)
    spark.sparkContext.addPyFile(str(tmp_path / "sitecustomize.py"))  # decoders that start from now on import it
    names = few_photos(workspace, 2)
    photo = encoded(noise(), "JPEG")
    bad = {
        "crash.jpg": (encoded(noise(), "JPEG", comment=b"segfault"), "decoder_died"),
        "exif.jpg": (with_exif(photo, b"garbage" * 20), "bad_exif"),
        "video.jpg": (b"\0\0\0\x18ftypmp42" + bytes(99), "video"),
    }
    for name, (content, _) in bad.items():
        (workspace.corpus / "images" / name).write_bytes(content)
    outcome = workspace.run(
        "extract_features", "corpus.min_side=17"
    )  # other limits, so the worker starts another decoder
    assert (outcome.rows_in, outcome.written, outcome.quarantined) == (5, 2, 3)
    assert workspace.reasons("extract_features") == {name: reason for name, (_, reason) in bad.items()}
    assert sorted(features(workspace)) == names


def test_the_settings_of_the_session_stay(workspace, spark):
    few_photos(workspace, 2)
    key = "spark.sql.execution.arrow.maxRecordsPerBatch"
    spark.conf.set(key, 123)
    try:
        before = session_settings()
        assert workspace.run("extract_features").written == 2
        assert session_settings() == before
        assert spark.conf.get(key) == "123"
    finally:
        spark.conf.unset(key)


def published_vgg16(path) -> keras.Model:
    """A VGG16 whose weights are stored as Keras publishes them: HDF5 with layer_names and weight_names attributes."""
    keras.utils.set_random_seed(11)
    network = keras.applications.VGG16(weights=None)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([layer.name.encode() for layer in network.layers])
        for layer in network.layers:
            group = file.create_group(layer.name)
            arrays = dict(zip((f"{layer.name}_W_1:0", f"{layer.name}_b_1:0"), layer.get_weights(), strict=False))
            group.attrs["weight_names"] = np.array([name.encode() for name in arrays])
            for name, array in arrays.items():
                group[name] = array
    return network


@pytest.mark.slow
def test_vgg16_fc2_equals_plain_keras(workspace, tmp_path):
    names = few_photos(workspace, 3)
    network = published_vgg16(tmp_path / "vgg16_weights_tf_dim_ordering_tf_kernels.h5")
    weights = f"extractor.weights={tmp_path}/vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    overrides = ["extractor.name=vgg16", "extractor.layer=default", "extractor.pooling=none", weights]
    workspace.run("extract_features", *overrides, "extractor.resize=nearest")

    fc2 = keras.Model(network.input, network.get_layer("fc2").output)
    photos = [keras.utils.load_img(workspace.corpus / "images" / name, target_size=(224, 224)) for name in names]
    pixels = np.stack([keras.utils.img_to_array(photo) for photo in photos])
    expected = fc2.predict(keras.applications.vgg16.preprocess_input(pixels), verbose=0)
    found = features(workspace)
    assert expected.shape == (3, 4096)
    for name, row in zip(names, expected, strict=True):
        rounding = 2**-11 * np.abs(row)  # of a value to 16 bits
        assert (np.abs(found[name] - row) <= rounding + 1e-4 * np.abs(expected).max()).all()

    with pytest.raises(InputError, match=r"extractor\.weights.*does not fit resnet50"):
        workspace.run("extract_features", *overrides, "extractor.name=resnet50")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["extractor.name=vgg61"], r"extractor\.name.*vgg1"),
        (["extractor.name=vgg16", "extractor.layer=fc9"], r"extractor\.layer.*fc"),
        (["extractor.weights=/absent.h5"], r"extractor\.weights.*absent"),
        (["extractor.weights=random:x"], r"extractor\.weights.*random:SEED"),
        (["corpus.photos=absent"], r"corpus\.photos"),
    ],
)
def test_an_extractor_that_cannot_be_is_refused(workspace, overrides, words):
    few_photos(workspace, 1)
    with pytest.raises(InputError, match=words):
        workspace.run("extract_features", *overrides)


def test_a_corpus_of_bad_photos_alone_is_refused(workspace):
    few_photos(workspace, 0)
    (workspace.corpus / "images" / "bad.jpg").write_text("no photo")
    with pytest.raises(InputError, match="quarantine"):
        workspace.run("extract_features")
    assert workspace.reasons("extract_features") == {"bad.jpg": "not_an_image"}
