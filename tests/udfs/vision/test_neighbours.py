from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from feature_cells import cells, shapes

from udfs.vision.features import unit_rows
from udfs.vision.neighbours import nearest_in_batches


def candidates(names, features, parts="all") -> pa.Table:
    parts = [parts] * len(names) if isinstance(parts, str) else list(parts)
    columns = {"feature": cells(features), "feature_shape": shapes(features)}
    return pa.table({"image_id": list(names), **columns, "part": parts})


def nearest(names, features, batches, others_only=False) -> dict:
    queries = SimpleNamespace(value=(list(names), unit_rows(np.asarray(features))))
    rows = pa.Table.from_batches(nearest_in_batches(queries, others_only, iter(batches))).to_pylist()
    return {(row["query"], row["part"]): (row["neighbour"], row["distance"]) for row in rows}


def test_equals_every_distance_computed_at_once_however_the_candidates_are_spread():
    rng = np.random.default_rng(0)
    queries, training = rng.normal(size=(7, 5)), rng.normal(size=(40, 5)).astype("float16").astype("float64")
    names, parts = np.array([f"{n:02}.jpg" for n in range(40)]), np.where(rng.random(40) < 0.3, "one", "other")
    table = candidates(names, training, parts)
    batches = [table.to_batches(max_chunksize=9)[0].slice(0, 0), *table.to_batches(max_chunksize=9)]
    found = nearest("abcdefg", queries, batches)
    assert found == nearest("abcdefg", queries, batches[::-1])
    assert len(found) == 14
    distances = 1 - queries @ training.T / np.outer(np.linalg.norm(queries, axis=1), np.linalg.norm(training, axis=1))
    for (query, part), (neighbour, distance) in found.items():
        row, among = "abcdefg".index(query), np.flatnonzero(parts == part)
        assert neighbour == names[among[distances[row, among].argmin()]]
        assert distance == pytest.approx(distances[row, among].min(), abs=1e-5)


def test_of_equals_the_first_name_counts_and_a_photo_itself_only_where_wanted():
    names, features = ["a", "b", "c"], np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    table = candidates(names, features)
    (whole,) = table.to_batches()
    for batches in ([whole], [whole.slice(2), whole.slice(0, 2)], [whole.slice(1), whole.slice(0, 1)]):
        assert nearest(names, features, batches) == {
            ("a", "all"): ("a", 0),
            ("b", "all"): ("a", 0),
            ("c", "all"): ("c", 0),
        }
        others = nearest(names, features, batches, others_only=True)
        assert others == {("a", "all"): ("b", 0), ("b", "all"): ("a", 0), ("c", "all"): ("a", 1)}
    assert nearest(["c"], features[2:], [whole.slice(2)], others_only=True) == {}


def test_a_feature_of_zeros_is_far_from_everything():
    assert np.isfinite(unit_rows(np.zeros((1, 3)))).all()


def test_the_nearest_of_maps_is_that_of_their_averages():
    maps = np.random.default_rng(1).normal(size=(12, 2, 3, 4)).astype("float16")
    names = [f"{n:02}" for n in range(12)]
    averages = maps.mean(axis=(1, 2), dtype="float32")
    found = nearest(names, averages, candidates(names, maps).to_batches(max_chunksize=5), others_only=True)
    expected = nearest(names, averages, candidates(names, averages).to_batches(), others_only=True)
    for query, (neighbour, distance) in expected.items():
        assert found[query] == (neighbour, pytest.approx(distance, abs=2e-3))
