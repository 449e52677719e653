from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from udfs.features import feature_rows, unit_rows
from udfs.neighbours import nearest_in_batches


def test_equals_every_distance_computed_at_once():
    rng = np.random.default_rng(0)
    queries, training = rng.normal(size=(7, 5)), rng.normal(size=(40, 5)).astype("float32")
    names, held_out = np.array([f"{n}.jpg" for n in range(40)]), rng.random(40) < 0.3
    table = pa.table({"image_id": names, "feature": list(training), "held_out": held_out})
    batches = [table.to_batches(max_chunksize=9)[0].slice(0, 0), *table.to_batches(max_chunksize=9)]
    found = pa.Table.from_batches(
        nearest_in_batches(SimpleNamespace(value=unit_rows(queries)), iter(batches))
    ).to_pandas()
    assert len(found) == 14
    norms = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(training, axis=1)
    distances = 1 - queries @ training.T / norms
    for row in found.itertuples():
        among = np.flatnonzero(held_out == row.held_out)
        assert row.neighbour == names[among[distances[row.query, among].argmin()]]
        assert row.distance == pytest.approx(distances[row.query, among].min(), abs=1e-6)


def test_a_part_without_photos_gives_no_neighbours():
    table = pa.table({"image_id": ["a.jpg"], "feature": [[1.0, 0.0]], "held_out": [False]})
    found = pa.Table.from_batches(nearest_in_batches(SimpleNamespace(value=unit_rows(np.eye(2))), table.to_batches()))
    assert found.column("held_out").to_pylist() == [False, False]
    assert found.column("distance").to_pylist() == pytest.approx([0, 1])


def test_a_feature_of_zeros_is_far_from_everything():
    assert np.isfinite(unit_rows(np.zeros((1, 3)))).all()


def test_sliced_and_chunked_columns_are_read_right():
    column = pa.chunked_array([pa.array([[1.0, 2.0], [3.0, 4.0]]), pa.array([[5.0, 6.0]])])
    assert feature_rows(column).tolist() == [[1, 2], [3, 4], [5, 6]]
    assert feature_rows(column.slice(1)).tolist() == [[3, 4], [5, 6]]
