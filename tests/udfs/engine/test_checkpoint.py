import numpy as np
import pytest

from udfs.engine import attempts, checkpoint
from udfs.engine.attempts import RunWriter
from udfs.engine.checkpoint import Checkpoint

VARIABLES = [np.arange(6, dtype="float32").reshape(2, 3), np.array(7, "int64")]


@pytest.fixture
def run(tmp_path) -> str:
    attempts.begin(str(tmp_path), 0, {})
    return str(tmp_path)


def save(run: str, step: int, keep: int, attempt: int = 1) -> None:
    checkpoint.save(RunWriter(run, attempt), step, Checkpoint(VARIABLES, [], {"step": step}), keep)


def names(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "checkpoints").iterdir())


def test_what_was_saved_is_restored(run):
    saved = Checkpoint(VARIABLES, VARIABLES[:1], {"epoch": 3, "history": [{"loss": 1.5}]})
    checkpoint.save(RunWriter(run, 1), 12, saved, keep=2)
    found = checkpoint.latest(run)
    assert found.state == saved.state
    for group in ("variables", "best"):
        pairs = zip(getattr(found, group), getattr(saved, group), strict=True)
        assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)


def test_only_the_newest_are_kept(run, tmp_path):
    for step in (1, 2, 10, 30):
        save(run, step, keep=2)
    assert names(tmp_path) == ["attempt-000001-step-000000010.npz", "attempt-000001-step-000000030.npz"]


def test_a_damaged_one_is_passed_over(run, tmp_path):
    for step in (1, 2, 3):
        save(run, step, keep=3)
    newest, second = (tmp_path / "checkpoints" / f"attempt-000001-step-00000000{step}.npz" for step in (3, 2))
    newest.write_bytes(newest.read_bytes()[:-40])
    second.write_bytes(b"")
    assert checkpoint.latest(run).state == {"step": 1}


def test_a_flipped_bit_is_damage(run, tmp_path):
    for step in (1, 2):
        save(run, step, keep=2)
    newest = tmp_path / "checkpoints" / "attempt-000001-step-000000002.npz"
    content = bytearray(newest.read_bytes())
    content[content.index(VARIABLES[0].tobytes()) + 5] ^= 1
    newest.write_bytes(content)
    assert checkpoint.latest(run).state == {"step": 1}


def test_those_of_a_later_attempt_come_first(run):
    """What a process of an older attempt wrote last, being stopped and woken, is not what training goes on from."""
    save(run, 40, keep=5)
    attempts.begin(run, 1, {})
    save(run, 30, keep=5, attempt=2)
    assert checkpoint.latest(run).state == {"step": 30}


def test_pickled_objects_are_not_read(run, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "attempt-000001-step-000000001.npz"
    np.savez(path, variables_0000=np.array([{"a": 1}], dtype=object), state=np.zeros(2, "uint8"))
    assert checkpoint.latest(run) is None


def test_nothing_saved(tmp_path):
    assert checkpoint.latest(str(tmp_path / "absent")) is None
