"""Stored results are used again only if they were made from exactly the same."""

import pytest

from jobs.driver.runs.stored_results import store_result, stored_result, stored_tables
from jobs.driver.tables.warehouse import Warehouse

MADE_FROM = {"captions": 3, "limits": (1, 2), "decoding": {"beam_width": 3}}


def test_a_result_is_found_again_for_the_same_causes(tmp_path):
    uri = f"file://{tmp_path}/result.json"
    assert stored_result(uri, MADE_FROM) is None
    stored = store_result(uri, MADE_FROM, {"metrics": {"bleu4": 0.25}})
    assert stored["metrics"] == {"bleu4": 0.25}
    again = stored_result(uri, {**MADE_FROM, "limits": [1, 2]})  # a tuple is a list in JSON
    assert again["metrics"] == {"bleu4": 0.25}


@pytest.mark.parametrize(
    "made_from",
    [{}, {**MADE_FROM, "captions": 4}, {**MADE_FROM, "more": 1}, {"captions": 3}, {**MADE_FROM, "decoding": {}}],
)
def test_a_result_of_other_causes_is_not_used(tmp_path, made_from):
    uri = f"file://{tmp_path}/result.json"
    store_result(uri, MADE_FROM, {"metrics": {}})
    assert stored_result(uri, made_from) is None


def test_a_file_without_causes_is_no_result(tmp_path):
    (tmp_path / "result.json").write_text('{"metrics": {}}')
    assert stored_result(f"file://{tmp_path}/result.json", {}) is None


@pytest.mark.parametrize("storage", ["delta", "parquet"])
def test_tables_are_used_again_only_together(spark, tmp_path, storage):
    warehouse = Warehouse(spark, str(tmp_path), storage)
    tables = {name: warehouse.table(name) for name in ("words", "ids")}
    note = {"made_from": MADE_FROM, "rows": 3}
    assert stored_tables(tables, MADE_FROM) is None
    tables["words"].replace(spark.range(3), note)
    assert stored_tables(tables, MADE_FROM) is None, "the other table is missing"
    tables["ids"].replace(spark.range(3), note)
    found, versions = stored_tables(tables, MADE_FROM)
    assert found["rows"] == 3
    assert versions == {name: table.version() for name, table in tables.items()}
    assert stored_tables(tables, {**MADE_FROM, "captions": 4}) is None
    tables["ids"].replace(spark.range(4), {**note, "rows": 4})
    assert stored_tables(tables, MADE_FROM) is None, "the tables are of different runs of the job"
