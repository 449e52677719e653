import time

import pytest
from pyspark.sql import functions as F

from jobs.driver.spark.hadoop_files import HadoopFiles
from jobs.driver.spark.session import spark_settings
from jobs.driver.tables.parquet import ParquetStore
from jobs.driver.tables.warehouse import Warehouse
from udfs.errors import InputError


@pytest.fixture(params=["delta", "parquet"])
def table(request, spark, tmp_path):
    return Warehouse(spark, str(tmp_path / "warehouse"), request.param).table("animals")


def rows(spark, *pairs):
    return spark.createDataFrame(list(pairs), "name string, legs int")


def content(frame):
    return sorted((row.name, row.legs) for row in frame.collect())


def test_versions_stay_readable(spark, table):
    assert table.version() is None
    assert table.provenance() == {}
    first = table.replace(rows(spark, ("dog", 4)), {"from": "a"})
    second = table.replace(rows(spark, ("bird", 2), ("ant", 6)), {"from": "b"})
    assert second > first
    assert table.version() == second
    assert table.provenance() == {"from": "b"}
    assert content(table.read()) == [("ant", 6), ("bird", 2)]
    assert content(table.read(first)) == [("dog", 4)]


def test_replace_where_leaves_the_others(spark, table):
    table.replace(rows(spark, ("dog", 4), ("cat", 4), ("bird", 2)), {}, partition_by=["legs"])
    table.replace(rows(spark, ("cow", 4)), {}, where={"legs": 4}, partition_by=["legs"])
    assert content(table.read()) == [("bird", 2), ("cow", 4)]


@pytest.mark.parametrize("name", ["it's", "\\' OR 1 = 1 -- \"`\n"])
def test_replace_where_takes_any_text(spark, table, name):
    table.replace(rows(spark, (name, 1), ("its", 2), (None, 3)), {}, partition_by=["name"])
    table.replace(rows(spark, (name, 4)), {}, where={"name": name}, partition_by=["name"])
    assert sorted((row.legs, row.name) for row in table.read().collect()) == [(2, "its"), (3, None), (4, name)]


def test_replace_where_takes_several_columns_of_any_name(spark, table):
    columns = "`split's` string, `a``b` int"
    table.replace(spark.createDataFrame([("dev", 1), ("dev", 2), ("test", 1)], columns), {})
    table.replace(spark.createDataFrame([("dev", 1), ("dev", 1)], columns), {}, where={"split's": "dev", "a`b": 1})
    assert sorted(map(tuple, table.read().collect())) == [("dev", 1), ("dev", 1), ("dev", 2), ("test", 1)]


def test_text_that_looks_like_a_number_stays_text_in_a_partition_column(spark, table):
    table.replace(rows(spark, ("007", 4), ("1e9", 2)), {}, partition_by=["name"])
    assert content(table.read()) == [("007", 4), ("1e9", 2)]


# Some of the settings that the Delta store changes while it works; the others have no value before.
SETTINGS = {
    "spark.databricks.delta.commitInfo.userMetadata": "the caller's",
    "spark.databricks.delta.retentionDurationCheck.enabled": "true",
}


def test_every_operation_restores_the_settings_of_the_session(spark, table):
    new = rows(spark, ("ant", 6))
    operations = {
        "make the table": lambda: table.replace(rows(spark, ("dog", 4), ("cat", 4)), {"n": 1}),
        "replace": lambda: table.replace(rows(spark, ("dog", 3), ("cat", 4)), {"n": 2}),
        "replace where": lambda: table.replace(new, {}, where={"legs": 6}),
        "upsert": lambda: table.upsert(new, ["name"], {}, "legs"),
        "clean": lambda: table.clean(time.time(), set(), apply=True),
        "read": lambda: (table.version(), table.provenance(), table.read().count()),
    }
    with spark_settings(spark, SETTINGS):
        before = session_settings(spark)
        assert SETTINGS.items() <= before.items()
        for name, operation in operations.items():
            operation()
            assert session_settings(spark) == before, name
        with pytest.raises(Exception, match="broken"):
            table.replace(new.withColumn("name", F.raise_error(F.lit("broken")).cast("string")), {})
        assert session_settings(spark) == before


def session_settings(spark):
    """All settings of the session but the number of its last commit, which Delta itself keeps."""
    last_commit = "spark.databricks.delta.lastCommitVersionInSession"
    return {key: value for key, value in spark.conf.getAll.items() if key != last_commit}


def test_upsert_replaces_adds_and_deletes(spark, table):
    table.replace(rows(spark, ("dog", 3), ("cat", 4), ("snake", 1)), {})
    table.upsert(rows(spark, ("dog", 4), ("ant", 6), ("snake", None), ("ghost", None)), ["name"], {"n": 2}, "legs")
    assert content(table.read()) == [("ant", 6), ("cat", 4), ("dog", 4)]
    assert table.provenance() == {"n": 2}


def test_upsert_makes_the_table(spark, table):
    table.upsert(rows(spark, ("dog", 4), ("ghost", None)), ["name"], {}, "legs")
    assert content(table.read()) == [("dog", 4)]


def test_a_failed_write_leaves_the_table(spark, table):
    table.replace(rows(spark, ("dog", 4)), {"from": "a"})
    broken = rows(spark, ("cat", 4)).selectExpr("name", "cast(raise_error('broken') as int) legs")
    with pytest.raises(Exception, match="broken"):
        table.replace(broken, {"from": "b"})
    assert content(table.read()) == [("dog", 4)]
    assert table.provenance() == {"from": "a"}


def test_a_parquet_commit_that_died_before_its_last_step_is_completed(spark, tmp_path, monkeypatch):
    table = Warehouse(spark, str(tmp_path), "parquet").table("animals")
    table.replace(rows(spark, ("dog", 4)), {})
    with monkeypatch.context() as patch:
        patch.setattr(HadoopFiles, "replace_text", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            table.replace(rows(spark, ("cat", 4)), {})
    assert content(table.read()) == [("dog", 4)]
    table.upsert(rows(spark, ("ant", 6)), ["name"], {}, "legs")
    assert content(table.read()) == [("ant", 6), ("cat", 4)]
    assert table.version() == 3


def test_of_two_parquet_writers_the_second_builds_on_the_first(spark, tmp_path):
    table = Warehouse(spark, str(tmp_path), "parquet").table("animals")
    other = ParquetStore(spark, table.path)
    table.replace(rows(spark, ("dog", 4)), {})
    completed, calls = table._completed_version, []

    def overtaken():
        base = completed()
        if not calls:
            other.upsert(rows(spark, ("cat", 4)), ["name"], {}, "legs")
        calls.append(base)
        return base

    table._completed_version = overtaken
    table.upsert(rows(spark, ("ant", 6)), ["name"], {}, "legs")
    assert calls == [1, 2, 3], "the basis that was overtaken, the winner's, and its own at the end"
    assert content(table.read()) == [("ant", 6), ("cat", 4), ("dog", 4)]


def test_a_warehouse_that_cannot_be_written_is_refused(spark, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"paths\.warehouse"):
        Warehouse(spark, str(tmp_path / "file" / "warehouse"), "delta")


def test_a_schema_holds_delta_tables(spark):
    with pytest.raises(InputError, match=r"storage\.format"):
        Warehouse(spark, "main.captioner", "parquet")


def test_tables_in_a_schema(spark, tmp_path):
    spark.sql(f"CREATE DATABASE animals_test LOCATION '{tmp_path}'")
    try:
        table = Warehouse(spark, "spark_catalog.animals_test", "delta").table("animals")
        table.replace(rows(spark, ("dog", 3)), {})
        table.upsert(rows(spark, ("dog", 4), ("ant", 6)), ["name"], {"n": 1}, "legs")
        assert content(table.read()) == [("ant", 6), ("dog", 4)]
        assert (table.version(), table.provenance()) == (1, {"n": 1})
    finally:
        spark.sql("DROP DATABASE animals_test CASCADE")


def test_a_missing_table_names_the_job_that_makes_it(spark, tmp_path):
    with pytest.raises(InputError, match=r"jobs/extract_features\.py"):
        Warehouse(spark, str(tmp_path), "parquet").require("features", "extract_features")
