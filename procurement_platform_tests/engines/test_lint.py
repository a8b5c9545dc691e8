"""What is outside the portable subset is refused, with the text at fault and a remedy."""

import pytest

from procurement_platform.engines.queries import Query
from procurement_platform.errors import QueryRefused

SCHEMA = {"t": {"a": "decimal(18,3)", "n": "integer", "s": "varchar", "d": "date", "b": "bigint"}, "u": {"a": "decimal(18,3)"}}


def refused(sql: str) -> str:
    with pytest.raises(QueryRefused) as refusal:
        Query("domain/name", sql).compiled(SCHEMA)
    text = str(refusal.value)
    assert text.startswith("domain/name: ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELECT a / 2 AS x FROM t", "a / 2"),
        ("SELECT n / 2 AS x FROM t", "n / 2"),
        ("SELECT a * 2 AS x FROM t", "multiply_money"),
        ("SELECT a % 2 AS x FROM t", "round_up"),
        ("SELECT TRY(n) AS x FROM t", "TRY"),
        ("SELECT TRY_CAST(s AS integer) AS x FROM t", "use CAST"),
        ("SELECT date_diff('day', d, d) AS x FROM t", "DATE_DIFF"),
        ("SELECT date_add('day', 1, d) AS x FROM t", "add_days"),
        ("SELECT d + INTERVAL '1' DAY AS x FROM t", "INTERVAL"),
        ("SELECT split_part(s, '-', 1) AS x FROM t", "SPLIT_PART"),
        ("SELECT regexp_extract(s, 'a') AS x FROM t", "REGEXP_EXTRACT"),
        ("SELECT regexp_replace(s, 'a', 'b') AS x FROM t", "REGEXP_REPLACE"),
        ("SELECT greatest(a, a) AS x FROM t", "ignores NULL"),
        ("SELECT concat(s, s) AS x FROM t", "ignores NULL"),
        ("SELECT max_by(s, a) AS x FROM t", "MAX_BY"),
        ("SELECT format('%05d', n) AS x FROM t", "FORMAT"),
        ("SELECT current_date AS x FROM t", "CURRENT_DATE"),
        ("SELECT random() AS x FROM t", "RAND"),
        ("SELECT read_parquet('/etc/passwd') AS x FROM t", "read_parquet"),
        ("SELECT x FROM read_parquet('/etc/passwd')", "read_parquet"),
        ("SELECT 1e0 AS x FROM t", "floating point"),
        ("SELECT a + 1.5 AS x FROM t", "CAST(1.5 AS decimal"),
        ("SELECT CAST(a AS double) AS x FROM t", "double"),
        ("SELECT CAST(s AS timestamp) AS x FROM t", "timestamp"),
        ("SELECT CAST(s AS decimal(10,2)) AS x FROM t", "decimal(10,2)"),
        ("SELECT * FROM t", "names its columns"),
        ("SELECT t.* FROM t", "names its columns"),
        ("SELECT a FROM t UNION ALL SELECT a FROM u LIMIT 1", "LIMIT without ORDER BY"),
        ("SELECT a FROM t LIMIT 1", "LIMIT without ORDER BY"),
        ("SELECT a FROM (SELECT a FROM t LIMIT 1) x", "LIMIT without ORDER BY"),
        ("SELECT ROW_NUMBER() OVER (PARTITION BY s) AS x FROM t", "without ORDER BY"),
        ("SELECT a FROM t UNION SELECT a FROM u", "UNION ALL"),
        ("SELECT a FROM other.t", "plain names"),
        ("SELECT a FROM t NATURAL JOIN u", "NATURAL"),
        ("SELECT :a AS x FROM t", "has no type"),
        ("SELECT round_up(a) AS x FROM t", "1 arguments"),
        ("SELECT a - a AS x FROM t", 'CAST("t"."a" AS decimal(38'),
        ("SELECT CAST(1 AS decimal(18,4)) + a AS x FROM t", "18 digits"),
        ("SELECT SUM(n) AS x FROM t", "CAST(SUM"),
        ("SELECT SUM(CASE WHEN a > 0 THEN 1 ELSE 0 END) AS x FROM t", "CAST(SUM"),
        ("SELECT CAST(a AS integer) AS x FROM t", "keep the decimal"),
        ("DELETE FROM t", "one SELECT"),
        ("SELECT a FROM t; DROP TABLE t", "domain/name"),
        ("SELECT a FROM", "domain/name"),
        ("SELECT nothing FROM t", "nothing"),
        ("SELECT x.a FROM v x", "reads v"),
    ],
)
def test_refused(sql: str, named: str) -> None:
    assert named.lower() in refused(sql).lower()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT CAST(a AS decimal(38,3)) + a - a AS x, -a AS y FROM t WHERE s IS NOT NULL AND NOT n IN (1, 2) OR d BETWEEN d AND d",
        "SELECT COUNT(DISTINCT s) AS x, MIN(a) FILTER (WHERE n > 0) AS y, CAST(SUM(n) AS bigint) AS z FROM t HAVING COUNT(*) > 1",
        "WITH c AS (SELECT * FROM t) SELECT c.a FROM c LEFT JOIN u ON u.a = c.a WHERE EXISTS (SELECT 1 FROM u WHERE u.a <> c.a)",
        "SELECT RANK() OVER (PARTITION BY s ORDER BY a DESC) AS x, SUBSTR(s, 1, 3) || REPLACE(s, 'a', 'b') AS y FROM t",
        "SELECT CASE s WHEN 'a' THEN a ELSE COALESCE(a, 0) END AS x FROM t ORDER BY 1 LIMIT 3",
        "SELECT CAST(COALESCE(SUM(b), 0) AS bigint) AS x FROM t",
        "SELECT t.a FROM t FULL OUTER JOIN u ON t.a = u.a",
        "SELECT t.a FROM t RIGHT JOIN u ON t.a = u.a CROSS JOIN (SELECT DISTINCT a FROM u) v",
        "SELECT round_up(a, CAST(2.5 AS decimal(18,3))) AS x, key_hash(a, s, n) AS y, add_days(d, n) AS z FROM t",
    ],
)
def test_let_through(sql: str) -> None:
    assert set(Query("domain/name", sql).compiled(SCHEMA).relations) <= {"t", "u"}


def test_a_fault_in_a_long_text_is_shown_short() -> None:
    assert len(refused("SELECT a / (a" + " + a" * 200 + ") AS x FROM t")) < 250
