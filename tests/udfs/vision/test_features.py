import numpy as np
import pyarrow as pa
import pytest
from feature_cells import cells, shapes

from udfs.errors import InputError
from udfs.vision.decode import Photo, PhotoRefused
from udfs.vision.extraction_task import _cells
from udfs.vision.features import STORED, feature_rows, features_of_cells, pool_batches, pooled_rows, to_stored

MAPS = np.random.default_rng(0).normal(size=(7, 3, 4, 5)).astype("float32")


def rows_of(features) -> pa.Table:
    names = [f"{number}.jpg" for number in range(len(features))]
    return pa.table({"image_id": names, "feature": cells(features), "feature_shape": shapes(features)})


@pytest.mark.parametrize("features", [MAPS, MAPS[:, 0, 0]])
def test_features_are_read_as_they_were_stored(features):
    table = pa.concat_tables([rows_of(features[:3]), rows_of(features[3:])])  # two chunks
    found = feature_rows(table)
    assert found.dtype == STORED
    assert np.array_equal(found, to_stored(features)[0])
    assert np.array_equal(feature_rows(table.slice(2, 3)), found[2:5])
    (batch,) = rows_of(features).to_batches()
    assert np.array_equal(feature_rows(batch.slice(1)), found[1:])
    assert feature_rows(table[:0]).shape[0] == 0


def test_cells_are_little_endian_halves_in_c_order():
    (cell,) = cells(np.array([[[1.0, 2.0], [-0.5, 65504.0]]])).to_pylist()
    assert cell == bytes.fromhex("003c 0040 00b8 ff7b")


@pytest.mark.parametrize(
    ("value", "fits"),
    [(0.0, True), (1.0, True), (65504.0, True), (1e-4, True), (65536.0, False), (1e30, False), (np.inf, False),
     (np.nan, False), (1e-6, False), (1e-30, False)],
)  # fmt: skip
def test_what_16_bits_cannot_hold_has_a_reason(value, fits):
    """A photo's feature is judged by its largest value: small ones beside it may round to zero."""
    features = np.array([[value * 0.7, 0.0, value], [0.3, 1e-9, 2.0]], "float32")
    stored, problems = to_stored(features)
    assert (problems[0] == "") == fits
    assert fits or "expected one between 3e-05 and 65504" in problems[0]
    assert problems[1] == ""
    assert np.abs(stored[1] - features[1]).max() <= 2**-11 * 2


def test_a_feature_that_does_not_fit_refuses_its_photo_and_no_other():
    photo, refused = Photo(np.zeros((1, 1, 3), "uint8")), PhotoRefused("truncated", "")
    found, outcomes = _cells(np.array([[1.0], [1e9], [2.0]], "float32"), [photo, refused, photo, photo])
    assert found == [b"\x00\x3c", None, None, b"\x00\x40"]
    assert [getattr(outcome, "reason", None) for outcome in outcomes] == [
        None,
        "truncated",
        "feature_not_float16",
        None,
    ]


def with_column(name: str, column: pa.Array) -> pa.Table:
    table = rows_of(MAPS)
    return table.set_column(table.column_names.index(name), name, column)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (with_column("feature", pa.array([b"\0" * 120] * 6 + [b"\0" * 119])), "cells of 119, 120 bytes"),
        (with_column("feature", pa.array([b"\0" * 120] * 6 + [None], pa.binary())), "cells of 120, None bytes"),
        (with_column("feature", pa.array([[1.0] * 60] * 7)), "cells of list<item: double> bytes"),
        (with_column("feature_shape", pa.array([[3, 4, 5]] * 6 + [[60]])), r"\(3, 4, 5\), \(60,\)"),
        (with_column("feature_shape", pa.array([[3, 4]] * 7)), "cells of 120 bytes with the shapes"),
        (with_column("feature_shape", pa.array([[]] * 7, pa.list_(pa.int32()))), "one shape"),
        (with_column("feature_shape", pa.array([None] * 7, pa.list_(pa.int32()))), "one shape"),
        (with_column("feature_shape", pa.array([[0, 5]] * 7)), "one shape"),
    ],
)
def test_a_cell_that_is_not_its_shape_is_refused_with_what_to_do(table, words):
    with pytest.raises(InputError, match=words) as refused:
        feature_rows(table)
    assert "run jobs/extract_features.py with extractor.recompute=true" in str(refused.value)


def test_cells_of_a_file_are_a_view_of_the_shape_that_is_expected():
    matrix = np.frombuffer(b"".join(cells(MAPS).to_pylist()), "uint8").reshape(7, -1)
    found = features_of_cells(matrix, (3, 4, 5))
    assert np.array_equal(found, MAPS.astype(STORED))
    assert np.shares_memory(found, matrix)
    for wrong in (matrix[:, :-1], matrix.astype("float32"), np.array([b"ab", b"abc"], object)):
        with pytest.raises(InputError, match=r"expected 120 bytes.*run jobs/build_examples\.py again"):
            features_of_cells(wrong, (3, 4, 5))


def test_a_map_is_compared_by_its_average_over_positions():
    stored = MAPS.astype(STORED).astype("float64")
    assert pooled_rows(rows_of(MAPS)) == pytest.approx(stored.mean(axis=(1, 2)), abs=1e-6)
    assert np.array_equal(pooled_rows(rows_of(MAPS[:, 0, 0])), stored[:, 0, 0])
    pooled = pa.Table.from_batches(pool_batches(rows_of(MAPS).to_batches(max_chunksize=2)))
    assert pooled["image_id"].to_pylist() == rows_of(MAPS)["image_id"].to_pylist()
    assert feature_rows(pooled) == pytest.approx(stored.mean(axis=(1, 2)), abs=1e-3)
