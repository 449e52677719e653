"""A small plan that needs no corpus: a linear regression on drawn rows."""

from __future__ import annotations

from pathlib import Path

import linear_regression
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from udfs.engine.plan import CommunicationPlan, OptimizerPlan, Plan
from udfs.engine.reader import ExampleFile, Split

COEFFICIENTS = np.array([2.0, -1.0, 0.5])
ROWS, SHARDS, EPOCHS = 400, 4, 12


def regression_plan(folder: Path, epochs: int = EPOCHS) -> Plan:
    return Plan(
        run_folder="none", task=linear_regression.LinearRegression(3), train=write_shards(folder, ROWS, 1),
        validation=write_shards(folder, 80, 2), epochs=epochs, batch_size=32, bucket_by_length=0,
        optimizer=OptimizerPlan(
            name="adam", momentum=0.0, nesterov=False, learning_rate=0.05, schedule="cosine", decay=1.0, clip_norm=1.0,
            l1=0.0, l2=0.0, weight_decay=0.0, ema_decay=0.0, warmup_steps=0,
        ),
        communication=CommunicationPlan(
            gradient_accumulation_steps=1, local_sgd_steps=0, outer_momentum=0.0, dtype="full", powersgd_rank=0,
            sparse_embedding=False, collectives="ring",
        ),
        seed=3, precision="float64", deterministic=True, monitor="val_loss", patience=0, checkpoint_every=5,
        keep_checkpoints=3,
    )  # fmt: skip


def write_shards(folder: Path, rows: int, seed: int) -> Split:
    """A table of y = 2 a - b + c / 2 + 3, as one file per shard."""
    random, shards = np.random.default_rng(seed), []
    for shard in range(SHARDS):
        x = random.normal(size=(rows // SHARDS, 3))
        columns = {"x": pa.array(list(x), pa.list_(pa.float64())), "y": pa.array(x @ COEFFICIENTS + 3)}
        path = folder / f"{seed}-{shard}.parquet"
        pq.write_table(pa.table(columns), path)
        shards.append((ExampleFile(path.as_uri(), len(x), len(x)),))
    return Split(tuple(shards))
