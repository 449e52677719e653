import numpy as np
import pytest

from udfs.engine import attempts, checkpoint
from udfs.engine.attempts import RunWriter
from udfs.engine.checkpoint import Checkpoint, Progress
from udfs.engine.metrics import EpochMetrics, WorkerMetrics
from udfs.errors import InputError
from udfs.run_folder import RunFolder

VARIABLES = [np.arange(6, dtype="float32").reshape(2, 3), np.array(7, "int64")]


@pytest.fixture
def run(tmp_path) -> RunFolder:
    folder = RunFolder(str(tmp_path))
    attempts.begin(folder, 0, {})
    return folder


def save(run: RunFolder, step: int, keep: int, attempt: int = 1) -> None:
    checkpoint.save(RunWriter(run, attempt), step, Checkpoint(VARIABLES, [], Progress(step=step)), keep)


def names(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "checkpoints").iterdir())


def test_what_was_saved_is_restored(run):
    worker = WorkerMetrics(0, "host:1", 40, 1.5, 300.0, 1.0, 1.0)
    history = [EpochMetrics(1, {"loss": 1.5, "val_loss": 2.0}, (worker,), "captions")]
    saved = Checkpoint(VARIABLES, VARIABLES[:1], Progress(epoch=3, sums=[1.0, 2.0, 0.5], seconds=4.5, history=history))
    checkpoint.save(RunWriter(run, 1), 12, saved, keep=2)
    found = checkpoint.latest(run)
    assert found.progress == saved.progress
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
    assert checkpoint.latest(run).progress == Progress(step=1)


def test_a_flipped_bit_is_damage(run, tmp_path):
    for step in (1, 2):
        save(run, step, keep=2)
    newest = tmp_path / "checkpoints" / "attempt-000001-step-000000002.npz"
    content = bytearray(newest.read_bytes())
    content[content.index(VARIABLES[0].tobytes()) + 5] ^= 1
    newest.write_bytes(content)
    assert checkpoint.latest(run).progress == Progress(step=1)


def test_those_of_a_later_attempt_come_first(run):
    """What a process of an older attempt wrote last, being stopped and woken, is not what training goes on from."""
    save(run, 40, keep=5)
    attempts.begin(run, 1, {})
    save(run, 30, keep=5, attempt=2)
    assert checkpoint.latest(run).progress == Progress(step=30)


def test_pickled_objects_are_not_read(run, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "attempt-000001-step-000000001.npz"
    np.savez(path, variables_0000=np.array([{"a": 1}], dtype=object), state=np.zeros(2, "uint8"))
    assert checkpoint.latest(run) is None


def test_another_version_of_the_state_is_refused_by_name(run, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    state = np.frombuffer(b'{"epoch": 2, "step": 0, "sums": [0.0, 0.0, 0.0], "seconds": 0.0, "history": []}', "uint8")
    np.savez(tmp_path / "checkpoints" / "attempt-000001-step-000000001.npz", state=state)
    with pytest.raises(InputError, match=r"run\.id: another version .* choose another run\.id"):
        checkpoint.latest(run)


def test_nothing_saved(tmp_path):
    assert checkpoint.latest(RunFolder(str(tmp_path / "absent"))) is None
