"""Settings of the session that hold for a block only."""

import pyarrow as pa
import pytest

from jobs.driver.spark.session import arrow_batches, spark_settings

BATCH = "spark.sql.execution.arrow.maxRecordsPerBatch"
OWN = "spark.captioner.test"


def test_settings_hold_inside_the_block_and_are_restored(spark):
    seen = []

    def fail_inside():
        with spark_settings(spark, {OWN: "inner", BATCH: 7}):
            seen.extend([spark.conf.get(OWN), spark.conf.get(BATCH)])
            raise ValueError("stop")

    before = dict(spark.conf.getAll)
    with spark_settings(spark, {OWN: "outer"}):
        with pytest.raises(ValueError, match="stop"):
            fail_inside()
        assert seen == ["inner", "7"]
        assert spark.conf.getAll == {**before, OWN: "outer"}
    assert spark.conf.getAll == before


def test_a_setting_that_spark_refuses_leaves_the_others_as_they_were(spark):
    before = dict(spark.conf.getAll)
    with pytest.raises(Exception, match="maxRecordsPerBatch"), spark_settings(spark, {OWN: "1", BATCH: "no number"}):
        pass
    assert spark.conf.getAll == before


def test_arrow_batches_bounds_the_rows_that_python_gets(spark):
    def sizes(batches):
        for batch in batches:
            yield pa.RecordBatch.from_arrays([pa.array([batch.num_rows])], ["id"])

    before = dict(spark.conf.getAll)
    rows = spark.range(0, 10, numPartitions=1).mapInArrow(sizes, "id long")
    with arrow_batches(spark, 4):
        assert [row.id for row in rows.collect()] == [4, 4, 2]
    assert spark.conf.getAll == before
