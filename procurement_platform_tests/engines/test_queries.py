"""Queries: found by name, compiled once, remembered on disk, right or not used."""

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import sqlglot

from procurement_platform.engines import queries
from procurement_platform.engines.queries import Query, load_query
from procurement_platform.errors import QueryRefused

SCHEMA = {"t": {"a": "decimal(18,3)", "s": "varchar", "d": "date"}}
SQL = "WITH c AS (SELECT s, SUM(a) AS total FROM t WHERE d = CAST(:day AS date) GROUP BY s) SELECT s, total FROM c ORDER BY s"


def test_load_query_reads_the_file_by_name() -> None:
    query = load_query("procurement/net_demand")
    assert query.name == "procurement/net_demand"
    assert "stock_basis" in query.sql
    assert load_query("procurement/net_demand") is query


def test_load_query_names_the_missing_file() -> None:
    with pytest.raises(QueryRefused, match=r"sql/procurement/nothing\.sql"):
        load_query("procurement/nothing")


def test_compiled_says_what_to_bind() -> None:
    compiled = Query("q", SQL).compiled(SCHEMA)
    assert compiled.relations == {"t": "files__t"}
    assert compiled.parameters == ("day",)
    assert compiled.ordered
    assert "$day" in compiled.sql
    assert not Query("q", "SELECT s FROM t").compiled(SCHEMA).ordered


def test_a_with_clause_hides_the_relation_of_its_name() -> None:
    sql = "WITH t AS (SELECT a FROM u) SELECT a FROM t"
    assert set(Query("q", sql).compiled({**SCHEMA, "u": {"a": "bigint"}}).relations) == {"u"}


def test_remembered_on_disk_and_read_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Query("q", SQL, tmp_path).compiled(SCHEMA)
    assert len(list(tmp_path.glob("*.json"))) == 1
    monkeypatch.setattr(sqlglot, "parse_one", lambda *_, **__: pytest.fail("compiled again"))
    assert Query("q", SQL, tmp_path).compiled(SCHEMA) == first


def test_sqlglot_is_not_imported_when_all_is_remembered(tmp_path: Path) -> None:
    Query("q", SQL, tmp_path).compiled(SCHEMA)
    script = (
        "import sys, pathlib; from procurement_platform.engines.queries import Query\n"
        f"Query('q', {SQL!r}, pathlib.Path({str(tmp_path)!r})).compiled({SCHEMA!r})\n"
        "sys.exit('sqlglot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("damage", [b"", b"no newline", b"0" * 64 + b"\n{}", b"\xff\xfe\n\xff", b"null\nnull"])
def test_a_damaged_entry_is_made_again(damage: bytes, tmp_path: Path) -> None:
    expected = Query("q", SQL, tmp_path).compiled(SCHEMA)
    (entry,) = tmp_path.glob("*.json")
    whole = entry.read_bytes()
    entry.write_bytes(damage)
    assert Query("q", SQL, tmp_path).compiled(SCHEMA) == expected
    assert entry.read_bytes() == whole
    assert [p.name for p in tmp_path.iterdir()] == [entry.name]


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    expected = Query("q", SQL, tmp_path).compiled(SCHEMA)
    (entry,) = tmp_path.glob("*.json")
    data = bytearray(entry.read_bytes())
    data[100] ^= 1
    entry.write_bytes(bytes(data))
    assert Query("q", SQL, tmp_path).compiled(SCHEMA) == expected


def test_other_text_columns_or_compiler_are_other_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Query("q", SQL, tmp_path).compiled(SCHEMA)
    Query("q", SQL + " ", tmp_path).compiled(SCHEMA)
    Query("q", SQL, tmp_path).compiled({"t": {**SCHEMA["t"], "more": "bigint"}})
    Query("q", SQL, tmp_path).lineage(SCHEMA)
    monkeypatch.setattr(queries, "_compiler", lambda: "another version")
    Query("q", SQL, tmp_path).compiled(SCHEMA)
    assert len(list(tmp_path.glob("*.json"))) == 5


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert Query("q", SQL, tmp_path / "file").compiled(SCHEMA).parameters == ("day",)


def test_lineage_goes_through_with_clauses_to_the_relations() -> None:
    assert Query("q", SQL).lineage(SCHEMA) == {"s": [("t", "s")], "total": [("t", "a")]}


def test_lineage_of_the_planning_queries(tmp_path: Path) -> None:
    schema = {
        "order_lines": {
            "market": "varchar",
            "sku": "varchar",
            "currency": "varchar",
            "quantity": "decimal(18,3)",
            "unit_price": "decimal(18,4)",
        },
        "markets": {"market": "varchar", "currency": "varchar"},
    }
    for _ in range(2):  # made, then read from the cache
        lineage = Query("q", load_query("procurement/aggregated_orders").sql, tmp_path).lineage(schema)
        assert lineage["currency"] == [("markets", "currency"), ("order_lines", "currency")]
        assert lineage["revenue"] == [("order_lines", "quantity"), ("order_lines", "unit_price")]
        assert lineage["run_date"] == []


def test_lineage_of_a_union_has_both_sides() -> None:
    schema = {"t": {"a": "bigint"}, "u": {"b": "bigint"}}
    assert Query("q", "SELECT a FROM t UNION ALL SELECT b FROM u").lineage(schema) == {"a": [("t", "a"), ("u", "b")]}


def test_trino_text_has_typed_literals_and_no_injection() -> None:
    sql = "SELECT s FROM t WHERE s = CAST(:s AS varchar) AND d = CAST(:d AS date) AND a > CAST(:a AS decimal(18,3)) ORDER BY s"
    text = Query("q", sql).for_trino(SCHEMA, {"s": "it's; DROP", "d": dt.date(2025, 12, 20), "a": Decimal("1.500")})
    assert "CAST('it''s; DROP' AS VARCHAR)" in text
    assert "CAST('2025-12-20' AS DATE)" in text
    assert "CAST(1.500 AS DECIMAL(18, 3))" in text
    assert "CAST(NULL AS VARCHAR)" in Query("q", "SELECT CAST(:s AS varchar) AS x FROM t").for_trino(SCHEMA, {"s": None})


def test_trino_refuses_missing_and_inexact_parameters() -> None:
    query = Query("q", SQL)
    with pytest.raises(QueryRefused, match=":day has no value"):
        query.for_trino(SCHEMA, {})
    with pytest.raises(QueryRefused, match=":day is a float"):
        query.for_trino(SCHEMA, {"day": 1.5})


def test_trino_text_of_the_helpers() -> None:
    sql = "SELECT multiply_money(a, a) AS m, round_up(a, a) AS r, add_days(d, 3) AS e, key_hash(s, d) AS k FROM t"
    text = Query("q", sql).for_trino(SCHEMA)
    assert 'CAST("t"."a" * "t"."a" AS DECIMAL(38, 4)) AS "m"' in text
    assert """CAST(DATE_ADD('day', 3, "t"."d") AS DATE) AS "e\"""" in text
    assert "FROM_BIG_ENDIAN_64(XXHASH64(TO_UTF8(" in text
    assert "hash(" not in text.lower().replace("xxhash64(", "")
