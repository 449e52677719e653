import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feature_cells import cells

sys.path.insert(0, "tests/udfs/engine")
from regression_plan import regression_plan

from udfs.captioner.memory import example_bytes, row_bytes, worker_bytes
from udfs.captioner.shape import CaptionerShape
from udfs.captioner.training import CaptionerTask
from udfs.engine.reader import ExampleFile, Split, read_columns

MAP, WIDTH, ROWS = (7, 7, 1280), 35, 6
TASK = CaptionerTask(CaptionerShape(8000, MAP), WIDTH)


@pytest.fixture
def plan(tmp_path):
    """Four shards of one file of maps."""
    columns = {
        "feature": cells(np.zeros((ROWS, *MAP))),
        "token_ids": pa.array([[1] * 5 * WIDTH] * ROWS, pa.list_(pa.int32())),
        "caption_count": pa.array([5] * ROWS, pa.int32()),
    }
    pq.write_table(pa.table(columns), tmp_path / "maps.parquet")
    file = ExampleFile((tmp_path / "maps.parquet").as_uri(), ROWS, 5 * ROWS)
    return replace(regression_plan(tmp_path), task=TASK, train=Split(((file,),) * 4), validation=Split(((file,),) * 4))


def test_a_row_of_maps_is_counted_as_it_is_in_memory(plan):
    columns = read_columns(TASK.columns, plan.train.shards[0][0])
    size = sum(column.nbytes for column in columns.values()) / ROWS
    assert size == pytest.approx(row_bytes(TASK, plan), abs=8)
    assert size == pytest.approx(125_440, rel=0.01), "49 x 1280 values of two bytes"


@pytest.mark.parametrize(("workers", "shards"), [(1, 4), (2, 2), (4, 1)])
def test_what_is_kept_is_bounded_by_the_key_and_by_the_workers_files(plan, workers, shards):
    nothing, few, all_ = (example_bytes(TASK, replace(plan, cache_bytes=most), workers) for most in (0, 10_000, 2**40))
    assert few == nothing + 10_000
    assert all_ == nothing + 2 * shards * ROWS * row_bytes(TASK, plan), "training and validation"
    assert worker_bytes(TASK, plan, workers) > nothing
