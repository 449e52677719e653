from concurrent.futures import ThreadPoolExecutor

import pytest

from udfs import files
from udfs.engine import attempts
from udfs.engine.attempts import RunWriter, Superseded
from udfs.run_folder import RunFolder


@pytest.fixture(params=["file://{}", "memory://{}"])
def folder(request, tmp_path) -> RunFolder:
    return RunFolder(request.param.format(tmp_path))


def test_attempts_are_numbered_and_remembered(folder):
    assert attempts.newest(folder) == 0
    assert attempts.begin(folder, 0, {"pid": 4}) == 1
    assert attempts.begin(folder, 1, {"pid": 5}) == 2
    assert attempts.newest(folder) == 2
    assert attempts.read(folder, 1) == {"pid": 4}


def test_of_many_that_begin_at_once_one_succeeds(tmp_path):
    def begin(number: int) -> bool:
        try:
            return bool(attempts.begin(RunFolder(str(tmp_path)), 0, {"pid": number}))
        except Superseded:
            return False

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(begin, range(64))) == 1
    assert [path.name for path in (tmp_path / "attempts").iterdir()] == ["000001.json"]


def test_an_older_attempt_may_not_write(folder):
    older = RunWriter(folder, attempts.begin(folder, 0, {}))
    older.write_text(f"{folder.uri}/a.txt", "first")
    newer = RunWriter(folder, attempts.begin(folder, 1, {}))
    newer.write_text(f"{folder.uri}/a.txt", "second")
    with pytest.raises(Superseded, match=r"attempt 1 .* may not write: attempt 2 holds the run"):
        older.write_text(f"{folder.uri}/a.txt", "third")
    assert files.read_bytes(f"{folder.uri}/a.txt") == b"second"
    assert files.names(folder.uri) == ["a.txt", "attempts"], "what was written aside is gone"


def test_creating_what_is_there_is_refused(folder):
    files.create_bytes(f"{folder.uri}/b", b"1")
    with pytest.raises(FileExistsError):
        files.create_bytes(f"{folder.uri}/b", b"2")
    assert files.read_bytes(f"{folder.uri}/b") == b"1"
