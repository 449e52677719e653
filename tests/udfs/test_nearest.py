from types import SimpleNamespace

import numpy as np
import pyarrow as pa

from udfs.features import feature_rows, unit_rows
from udfs.nearest import nearest_photos


def batch(names: list[str], features: np.ndarray) -> pa.RecordBatch:
    columns = [pa.array(names, pa.string()), pa.array(list(features.astype("float32")), pa.list_(pa.float32()))]
    return pa.RecordBatch.from_arrays(columns, names=["image_id", "feature"])


def nearest(wanted: pa.RecordBatch, batches: list[pa.RecordBatch]) -> dict[str, str]:
    content = wanted.column("image_id").to_pylist(), unit_rows(feature_rows(wanted.column("feature")))
    (found,) = nearest_photos(SimpleNamespace(value=content), iter(batches))
    return dict(zip(found.column("image_id").to_pylist(), found.column("neighbour").to_pylist(), strict=True))


def test_equals_all_pairs_however_the_candidates_are_spread():
    numbers = np.random.default_rng(3)
    features, candidates = numbers.normal(size=(9, 20)), numbers.normal(size=(70, 20))
    wanted, names = batch([f"w{n}" for n in range(9)], features), [f"c{n:02}" for n in range(70)]
    cosines = features @ candidates.T / np.linalg.norm(features, axis=1)[:, None] / np.linalg.norm(candidates, axis=1)
    expected = {f"w{n}": names[place] for n, place in enumerate(cosines.argmax(axis=1))}
    assert nearest(wanted, [batch(names, candidates)]) == expected
    spread = [batch(names[place : place + 16], candidates[place : place + 16]) for place in range(0, 70, 16)]
    assert nearest(wanted, [wanted.slice(0, 0), *spread[::-1]]) == expected


def test_a_photo_is_not_its_own_neighbour_and_of_equals_the_last_name_counts():
    features = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    everything = batch(["a", "b", "c"], features)
    assert nearest(everything, [everything]) == {"a": "b", "b": "a", "c": "b"}
    assert nearest(everything, [everything.slice(2), everything.slice(0, 2)]) == {"a": "b", "b": "a", "c": "b"}
    other = batch(["x"], np.array([[3.0, 0.0]]))
    assert nearest(other, [everything.slice(1), everything.slice(0, 1)]) == {"x": "b"}
    assert nearest(other, [batch(["x"], np.ones((1, 2)))]) == {}
