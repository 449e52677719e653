from dataclasses import replace
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feature_cells import cells

from udfs.captioner.shape import CaptionerShape
from udfs.captioner.training import CaptionerTask
from udfs.engine.file_cache import FileCache
from udfs.engine.reader import ExampleFile, Pass, Split, read_columns, read_file, worker_batches
from udfs.errors import InputError

WIDTH, SIZE = 6, 3
TASK = CaptionerTask(CaptionerShape(vocabulary_size=500, feature_shape=(SIZE,)), WIDTH)
WINDOWS = [0, 3]


def write_split(folder, rows_of_files: list[list[int]], seed: int = 0) -> Split:
    """Shards of files with so many rows, of 1 to 5 captions; each caption's second token numbers it."""
    random, number, shards = np.random.default_rng(seed), 10, []
    for shard, files in enumerate(rows_of_files):
        found = []
        for part, rows in enumerate(files):
            counts = random.integers(1, 6, rows)
            tokens, photo = [], []
            for count in counts:
                captions = np.zeros((5, WIDTH), "int32")
                for caption in captions[:count]:
                    length = random.integers(2, WIDTH)
                    caption[: length + 1] = [1, number, *[4] * (length - 2), 2]
                    number += 1
                tokens.append(captions.ravel())
                photo.append(np.full(SIZE, captions[0, 1], "float32"))
            path = folder / f"{shard}-{part}.parquet"
            columns = {
                "feature": cells(photo),
                "token_ids": pa.array(tokens, pa.list_(pa.int32())),
                "caption_count": pa.array(counts, pa.int32()),
            }
            pq.write_table(pa.table(columns), path)
            found.append(ExampleFile(path.as_uri(), rows, int(counts.sum())))
        shards.append(tuple(found))
    return Split(tuple(shards))


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Split:
    return write_split(tmp_path_factory.mktemp("examples"), [[4, 3], [7], [5, 2], [7], [6]])


def batches_of(split, batch_size, workers, epoch=1, seed=0, start=0, window=0) -> list[list[list[int]]]:
    """[step][worker] -> the numbers of the captions that the worker read."""
    read = [
        [
            [int(n) for n in batch.arrays[0][:, 1] if n]
            for batch in worker_batches(TASK, split, Pass(batch_size, r, workers, epoch, seed, start, window))
        ]
        for r in range(workers)
    ]
    return list(map(list, zip(*read, strict=True)))


def total(split) -> int:
    return sum(split.examples(shard) for shard in range(len(split.shards)))


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("batch_size", [1, 3, 8, 17, 1000])
@pytest.mark.parametrize("window", WINDOWS)
def test_each_caption_is_read_once_an_epoch(split, batch_size, workers, window):
    steps = batches_of(split, batch_size, workers, window=window)
    read = [number for step in steps for part in step for number in part]
    assert len(read) == len(set(read)) == total(split)


@pytest.mark.parametrize("batch_size", [3, 8])
@pytest.mark.parametrize("window", WINDOWS)
def test_global_batches_do_not_depend_on_the_workers(split, batch_size, window):
    alone = [sorted(step[0]) for step in batches_of(split, batch_size, 1, window=window)]
    for workers in (2, 3, 5):
        steps = batches_of(split, batch_size, workers, window=window)
        assert [sorted(chain.from_iterable(step)) for step in steps] == alone


def test_batches_are_full_while_every_shard_has_captions(split):
    sizes = [sum(map(len, step)) for step in batches_of(split, 8, 2)]
    shortest = min(split.examples(shard) for shard in range(len(split.shards)))
    whole = shortest * len(split.shards) // 8
    assert sizes[:whole] == [8] * whole


def test_order_changes_with_epoch_and_seed_only(split):
    assert batches_of(split, 8, 2) == batches_of(split, 8, 2)
    assert batches_of(split, 8, 2) != batches_of(split, 8, 2, epoch=2)
    assert batches_of(split, 8, 2) != batches_of(split, 8, 2, seed=1)


@pytest.mark.parametrize("start", [1, 5, 9])
@pytest.mark.parametrize("window", WINDOWS)
def test_starting_later_equals_having_read_so_far(split, start, window):
    assert batches_of(split, 8, 2, start=start, window=window) == batches_of(split, 8, 2, window=window)[start:]


def test_captions_of_similar_length_come_together(tmp_path):
    """In windows of five batches; which batch gets the long ones is drawn, and is another one in the next epoch."""
    split = write_split(tmp_path, [[30, 30], [40, 20], [60]])

    def widths(epoch: int, window: int) -> list[int]:
        found = worker_batches(TASK, split, Pass(12, 0, 1, epoch, 0, 0, window))
        return [int((batch.arrays[0] != 0).sum(axis=1).max()) for batch in found]

    assert sum(widths(1, 5)) < 0.9 * sum(widths(1, 0))
    assert widths(1, 5) != sorted(widths(1, 5))
    assert widths(1, 5) != widths(2, 5)


def test_starting_later_leaves_earlier_files_unread(split, tmp_path):
    copy = write_split(tmp_path, [[4, 4, 4]])
    complete = batches_of(copy, 4, 1, seed=None)
    first = copy.shards[0][0]
    (tmp_path / "0-0.parquet").unlink()
    start = first.examples // 4 + 1
    assert batches_of(copy, 4, 1, seed=None, start=start) == complete[start:]


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_of_photos_hold_all_captions_of_each(split, workers):
    photos = Split(tuple(tuple(replace(file, examples=file.rows) for file in shard) for shard in split.shards))
    steps: list[set] = [set() for _ in range(photos.steps(8))]
    for rank in range(workers):
        batches = worker_batches(replace(TASK, by_photo=True), photos, Pass(8, rank, workers, 1, 0))
        for found, batch in zip(steps, batches, strict=True):
            tokens, photo_of_caption, features = batch.arrays
            assert batch.examples in (len(features), 0)
            found |= {
                (int(n), float(features[place, 0])) for n, place in zip(tokens[:, 1], photo_of_caption, strict=True)
            }
    by_photo = [{photo for _, photo in step if photo} for step in steps]
    assert len(set().union(*by_photo)) == sum(map(len, by_photo)) == 4 + 3 + 7 + 5 + 2 + 7 + 6
    read = sorted(caption for step in steps for caption, _ in step if caption)
    assert read == sorted(number for step in batches_of(split, 8, 1) for part in step for number in part)
    for step, found in zip(steps, by_photo, strict=True):  # a photo's captions are numbered from the first one on
        assert len({caption for caption, photo in step if caption}) >= len(found)
        assert all(caption - photo in range(5) for caption, photo in step)


def test_a_photo_comes_with_its_captions(split):
    for batch in worker_batches(TASK, split, Pass(8, 0, 1, 1, 0)):
        tokens, photo_of_caption, photos = batch.arrays
        assert len(np.unique(photos, axis=0)) == len(photos)
        photo = photos[photo_of_caption]
        assert batch.examples == len(tokens)
        distance = tokens[:, 1] - photo[:, 0]
        assert ((distance >= 0) & (distance < 5)).all()
        assert (tokens != 0).sum(axis=1).max() == tokens.shape[1]


def test_a_file_with_other_rows_than_its_version_is_refused(split):
    file = split.shards[0][0]
    with pytest.raises(InputError, match="expected 5 with"):
        read_file(TASK, ExampleFile(file.uri, 5, file.examples))


def test_a_file_with_a_truncated_cell_is_refused_by_name(tmp_path):
    table = pa.table(
        {
            "feature": pa.array([b"\0" * 2 * SIZE, b"\0" * (2 * SIZE - 1)], pa.binary()),
            "token_ids": pa.array([[1, 2] + [0] * (WIDTH - 2)] * 2, pa.list_(pa.int32())),
            "caption_count": pa.array([1, 1], pa.int32()),
        }
    )
    pq.write_table(table, tmp_path / "cut.parquet")
    uri = (tmp_path / "cut.parquet").as_uri()
    with pytest.raises(InputError, match=r"cut\.parquet: column feature: found cells of 5, 6 bytes, expected 6 bytes"):
        read_file(TASK, ExampleFile(uri, 2, 2))


def test_photos_stay_in_16_bits_until_the_step(split):
    examples = read_file(TASK, split.shards[0][0])
    assert examples.photo.dtype == examples.take(np.arange(2))[2].dtype == "float16"


def bytes_of(split) -> int:
    columns = [read_columns(TASK.columns, file) for shard in split.shards for file in shard]
    return sum(column.nbytes for file in columns for column in file.values())


@pytest.mark.parametrize("share", [0, 0.4, 1])
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("window", WINDOWS)
def test_batches_are_the_same_bits_whatever_is_kept_in_memory(split, workers, share, window):
    """Two epochs from the beginning, and a third that is resumed in its middle with nothing in memory yet."""
    bound = int(share * bytes_of(split))
    for rank in range(workers):
        cache, resumed = FileCache(TASK, bound), FileCache(TASK, bound)
        for epoch, start, files in ((1, 0, cache), (2, 0, cache), (3, 3, resumed), (4, 0, resumed)):
            order = Pass(8, rank, workers, epoch, 0, start, window)
            kept, read = worker_batches(TASK, split, order, files.read), worker_batches(TASK, split, order)
            for a, b in zip(kept, read, strict=True):
                assert [array.tobytes() for array in a.arrays] == [array.tobytes() for array in b.arrays]
            assert files.bytes <= bound
        assert share < 1 or workers > 1 or cache.bytes == bound


def test_a_file_that_is_kept_is_read_once_and_one_beyond_the_bound_each_time(tmp_path):
    split = write_split(tmp_path, [[5, 5]])
    first, second = split.shards[0]
    cache = FileCache(TASK, bytes_of(split) - 1)
    kept = [cache.read(file) for file in (first, second)]
    (tmp_path / "0-0.parquet").unlink()
    assert cache.read(first) is kept[0]
    again = cache.read(second)
    assert again is not kept[1]
    assert np.array_equal(again.tokens, kept[1].tokens)
    (tmp_path / "0-1.parquet").unlink()
    with pytest.raises(OSError, match="0-1"):
        cache.read(second)
