import numpy as np

from udfs import checkpoint

ARRAYS = [np.arange(6, dtype="float32").reshape(2, 3), np.array(7, "int64")]


def test_what_was_saved_is_restored(tmp_path):
    checkpoint.save(str(tmp_path), 12, ARRAYS, {"epoch": 3, "history": [{"loss": 1.5}]}, keep=2)
    arrays, state = checkpoint.latest(str(tmp_path))
    assert state == {"epoch": 3, "history": [{"loss": 1.5}]}
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(arrays, ARRAYS, strict=True))


def test_only_the_newest_are_kept(tmp_path):
    for step in (1, 2, 10, 30):
        checkpoint.save(str(tmp_path), step, ARRAYS, {"epoch": step}, keep=2)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-000000010.npz", "step-000000030.npz"]


def test_a_damaged_one_is_passed_over(tmp_path):
    for step in (1, 2, 3):
        checkpoint.save(str(tmp_path), step, ARRAYS, {"epoch": step}, keep=3)
    newest = tmp_path / "step-000000003.npz"
    newest.write_bytes(newest.read_bytes()[:-40])
    (tmp_path / "step-000000002.npz").write_bytes(b"")
    assert checkpoint.latest(str(tmp_path))[1] == {"epoch": 1}


def test_pickled_objects_are_not_read(tmp_path):
    np.savez(tmp_path / "step-000000001.npz", array_0000=np.array([{"a": 1}], dtype=object), state=np.zeros(2, "uint8"))
    assert checkpoint.latest(str(tmp_path)) is None


def test_nothing_saved(tmp_path):
    assert checkpoint.latest(str(tmp_path / "absent")) is None
