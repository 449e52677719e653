"""Features as the jobs write them: cells of 16 bits, maps, tables of earlier versions, and features that do not fit."""

import keras
import numpy as np
import pytest
from conftest import run_pipeline
from feature_cells import feature_of
from pyspark.sql import functions as F

from jobs.driver.command import of_task
from jobs.driver.runs.training_plan import feature_shape_of
from jobs.driver.scoring.nearest import nearest_photos, pooled
from udfs.errors import InputError

LAYER = "extractor.layer=block_3_project_BN"
MAPS = [LAYER, "extractor.pooling=none"]


def few_photos(workspace, count: int) -> None:
    for photo in sorted((workspace.corpus / "images").iterdir())[count:]:
        photo.unlink()


def test_a_model_of_maps_is_trained_and_scored_beside_vectors(spark, drawn, tmp_path):
    workspace, outcomes = run_pipeline(tmp_path, drawn, "parquet", (*MAPS, "train.epochs=1"))
    assert outcomes["evaluate"].written == 4
    assert outcomes["evaluate"].metrics["baselines"]["nearest_photo"]["bleu1"] > 0
    shapes = workspace.table("examples").read().select("feature_shape").distinct().collect()
    assert [tuple(row.feature_shape) for row in shapes] == [(28, 28, 32)]

    workspace.run("extract_features", "extractor.pooling=avg")
    table = workspace.table("features").read()
    assert dict(table.dtypes)["feature"] == "binary"
    rows = table.collect()
    assert {len(row.feature) for row in rows} == {2 * 32, 2 * 28 * 28 * 32}
    maps, vectors = ({row.image_id: feature_of(row) for row in rows if len(row.feature_shape) == n} for n in (3, 1))
    for name, vector in vectors.items():
        assert vector == pytest.approx(maps[name].mean(axis=(0, 1)), rel=2**-10, abs=2**-11 * abs(maps[name]).max())

    is_map = F.size("feature_shape") == 3
    averages = {row.image_id: feature_of(row) for row in pooled(table.where(is_map)).collect()}
    assert averages == {name: pytest.approx(vector, rel=0.01, abs=1e-5) for name, vector in vectors.items()}
    nearest = [
        nearest_photos(side, side, others_only=True)["distance"] for side in (table.where(is_map), table.where(~is_map))
    ]
    assert len(nearest[0]) == len(nearest[1]) == 40
    assert np.sort(nearest[0]) == pytest.approx(np.sort(nearest[1]), abs=1e-4), "a map is compared by its average"


def as_earlier_version(workspace, name: str, keep: list[str]) -> int:
    """Writes a table again with arrays of 32-bit floats, as version 0.1 did; returns its version."""
    table = workspace.table(name)
    rows = table.read().collect()
    kinds = dict(table.read().dtypes)
    old = [(*(row[column] for column in keep), feature_of(row).ravel().tolist()) for row in rows]
    kept = ", ".join(f"{column} {kinds[column]}" for column in keep)
    frame = table.read().sparkSession.createDataFrame(old, f"{kept}, feature array<float>")
    return table.replace(frame, table.provenance())


@pytest.mark.parametrize("storage", ["delta", "parquet"])
def test_tables_of_an_earlier_version_are_refused_and_replaced_on_demand(workspace, caplog, storage):
    few_photos(workspace, 6)
    workspace.overrides += [f"storage.format={storage}", "corpus.validation_split=train"]
    for name in ("extract_features", "tokenize_captions", "build_examples"):
        workspace.run(name)
    other = workspace.run("extract_features", "extractor.weights=random:1").metrics["extractor"]
    version = as_earlier_version(workspace, "features", ["image_id", "extractor", "feature_shape", "content_hash"])
    as_earlier_version(
        workspace, "examples",
        ["image_id", "split", "shard", "part", "feature_shape", "token_ids", "caption_count"],
    )  # fmt: skip
    remedy = r"table features: found the column feature as array<float>.*extractor\.recompute=true"
    for job in ("extract_features", "build_examples"):
        with pytest.raises(InputError, match=remedy):
            workspace.run(job)
    with pytest.raises(InputError, match=r"table examples: .*array<float>.*run jobs/build_examples\.py"):
        feature_shape_of(workspace.table("examples").read())

    caplog.clear()
    replaced = workspace.run("extract_features", "extractor.recompute=true")
    assert (replaced.written, replaced.unchanged, replaced.version) == (6, 0, version + 1)
    assert f"6 of {other}" in caplog.text, "the features that are not computed again are named"
    assert f"stay in version {version}" in caplog.text
    assert workspace.table("features").read(version).count() == 12
    assert workspace.run("extract_features").unchanged == 6
    assert workspace.run("build_examples").written > 0
    assert feature_shape_of(workspace.table("examples").read()) == (144,)


def test_a_feature_that_16_bits_cannot_hold_is_quarantined(workspace, tmp_path):
    few_photos(workspace, 2)
    network = keras.applications.MobileNetV2(weights=None)
    layer = network.get_layer("Conv_1")
    layer.set_weights([1e20 * weight for weight in layer.get_weights()])
    network.save_weights(tmp_path / "large.weights.h5")
    large = [f"extractor.weights={tmp_path}/large.weights.h5", "extractor.layer=Conv_1"]
    with pytest.raises(InputError, match=r"all 2 files .* were refused"):
        workspace.run("extract_features", *large)
    assert set(workspace.reasons("extract_features").values()) == {"feature_not_float16"}


def test_a_truncated_cell_in_a_table_ends_a_job_with_what_to_do(spark):
    rows = spark.createDataFrame(
        [("a.jpg", bytes(287), [144])], "image_id string, feature binary, feature_shape array<int>"
    )
    with pytest.raises(Exception, match="InputError") as failed:
        pooled(rows).collect()
    assert "found cells of 287 bytes" in str(of_task(failed.value))
    assert "extractor.recompute=true" in str(of_task(failed.value))
    assert of_task(RuntimeError("no input error")) is None
