"""The procurement day by hand with DuckDB. Avro is read by polars: DuckDB's own extension gives decimals on `bytes` as BLOBs.

Run: python duckdb_day.py INBOX REFERENCE OUT DATE
"""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import polars as pl
from shared import MAX_PRICE, MAX_QUANTITY, MAX_TEXT, Day, Taken, take, the_day, write_csvs

ACTIVE = "COALESCE(active_from <= $day, true) AND COALESCE(active_to >= $day, true)"
PARQUET = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"


def too_long(*columns: str) -> str:
    return " OR ".join(f"(strlen({column}) > {MAX_TEXT} AND length({column}) > {MAX_TEXT})" for column in columns)


def control(*columns: str) -> str:
    """True where a text holds control characters; one search is faster than several."""
    return f"regexp_matches(concat({', '.join(columns)}), '[\\x00-\\x1f\\x7f]')"


def absent(column: str) -> str:
    return f"({column} IS NULL OR trim({column}) = '')"


# What makes a row invalid, per feed: SQL condition → reason. NULL counts as false.
RULES = {
    "orders": {
        "market IS NULL OR market <> $market": "market",
        f"{absent('order_id')} OR {absent('sku')}": "a text is missing",
        too_long("order_id", "sku", "customer_id"): "a text is too long",
        control("order_id", "sku", "customer_id"): "control characters",
        f"quantity IS NULL OR quantity <= 0 OR quantity > {MAX_QUANTITY}": "quantity",
        f"unit_price IS NULL OR unit_price < 0 OR unit_price > {MAX_PRICE}": "unit_price",
        "NOT regexp_full_match(currency, '[A-Z]{3}') AND trim(currency) <> ''": "currency",
        "ordered_at_us IS NULL OR ordered_at_us < $start OR ordered_at_us >= $end": "ordered_at",
    },
    "stock": {
        "market IS NULL OR market <> $market": "market",
        absent("sku"): "a text is missing",
        too_long("sku", "warehouse"): "a text is too long",
        control("sku", "warehouse"): "control characters",
        f"available IS NULL OR available < 0 OR available > {MAX_QUANTITY}": "available",
        f"reserved IS NULL OR reserved < 0 OR reserved > {MAX_QUANTITY}": "reserved",
    },
}
LINES = {
    "orders": "order_id, line_number, market, sku, quantity, unit_price, nullif(trim(currency), '') AS currency, ordered_at_us, "
    "nullif(customer_id, '') AS customer_id",
    "stock": "market, sku, available, reserved, counted_at_us, nullif(warehouse, '') AS warehouse",
}
KEY = {"orders": "market, order_id, line_number, CASE WHEN line_number IS NULL THEN sku END", "stock": "market, sku, warehouse"}
CONTENT = {
    "orders": "market, order_id, line_number, sku, quantity, unit_price, currency, ordered_at_us, customer_id",
    "stock": "market, sku, warehouse, available, reserved, counted_at_us",
}
SKU = f"CASE WHEN NOT ({absent('sku')} OR {too_long('sku')} OR {control('sku')}) THEN sku END"
MEASURE = {"orders": "quantity", "stock": "available"}
TABLE = {"orders": "order_lines", "stock": "stock_lines"}


def main() -> None:
    day = the_day()
    connection = duckdb.connect()
    connection.execute("SET preserve_insertion_order = false")
    for table in ("markets", "products", "suppliers", "supplier_products", "planning_parameters"):
        connection.execute(f"CREATE VIEW {table} AS FROM read_parquet('{day.reference}/{table}.parquet')")
    bind = {"day": day.date}
    connection.execute(f"CREATE TABLE active_products AS SELECT sku FROM products WHERE {ACTIVE}", bind)
    zones = dict(connection.execute("SELECT market, timezone FROM markets").fetchall())
    connection.execute(
        "CREATE TABLE quarantine (feed text, market text, file_id text, file text, row_number bigint, rule text, reasons text, sku text,"
        " quantity decimal(18,3), sent text)"
    )
    connection.execute("CREATE TABLE files (feed text, file_id text, file text, market text, state text)")
    jobs = [(feed, path) for feed in ("orders", "stock") for path in day.files(feed)]
    jobs.sort(key=lambda job: -job[1].stat().st_size)
    with ThreadPoolExecutor(2) as threads:  # one file's decoding beside another's SQL
        list(threads.map(lambda job: take_in(connection.cursor(), day, zones, *job), jobs))
    connection.execute("CREATE TABLE duplicates (feed text, file text, file_id text, row_number bigint)")
    for feed in ("orders", "stock"):
        without_repeated(connection, day, feed)
    connection.execute(f"COPY (FROM quarantine ORDER BY feed, file, row_number) TO '{day.out}/quarantine.parquet' {PARQUET}")
    connection.execute(f"COPY (FROM duplicates ORDER BY feed, file, row_number) TO '{day.out}/duplicates.parquet' {PARQUET}")
    plan(connection, day)


def take_in(connection: duckdb.DuckDBPyConnection, day: Day, zones: dict[str, str], feed: str, path: Path) -> None:
    """One file: hash, raw copy, decode, contract; accepted lines to Parquet, the others to the quarantine."""
    taken = take(day, feed, path)
    connection.register("arrow", decoded(feed, taken))
    connection.execute("CREATE OR REPLACE TEMP TABLE sent AS FROM arrow")  # scanned by all threads, which Arrow is not
    connection.unregister("arrow")
    start, end = day.window_us(zones[taken.market])
    known = {"market": taken.market, "start": start, "end": end}
    bind = {k: v for k, v in known.items() if k == "market" or feed == "orders"}
    rejected = connection.execute("SELECT count(*) > 0 AND count(*) FILTER (market = $market) = 0 FROM sent", {"market": taken.market})
    state = "rejected" if rejected.fetchall()[0][0] else "accepted"
    connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?)", [feed, taken.file_id, taken.file, taken.market, state])
    if state == "rejected":
        return
    invalid = " OR ".join(f"COALESCE({rule}, false)" for rule in RULES[feed])
    reasons = ", ".join(f"CASE WHEN {rule} THEN '{reason}' END" for rule, reason in RULES[feed].items())
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE bad AS SELECT '{feed}', $market, '{taken.file_id}', '{taken.file}', row_number,"
        f" CASE WHEN {invalid} THEN 'INVALID_ROW' ELSE 'UNKNOWN_PRODUCT' END, concat_ws('; ', {reasons}), {SKU}, {MEASURE[feed]},"
        f" to_json(sent)::text FROM sent WHERE sku NOT IN (FROM active_products) OR sku IS NULL OR {invalid}",
        bind,
    )
    connection.execute("INSERT INTO quarantine FROM bad")
    connection.execute(
        f"COPY (SELECT DATE '{day.date}' AS run_date, '{taken.file_id}' AS file_id, row_number, {LINES[feed]} FROM sent"
        f" ANTI JOIN bad USING (row_number)) TO '{day.out / TABLE[feed] / f'{path.stem}.parquet'}' {PARQUET}"
    )


def decoded(feed: str, taken: Taken) -> pl.DataFrame:
    frame = pl.read_avro(io.BytesIO(taken.data)).with_row_index("row_number", offset=1)
    if feed == "orders":
        return frame.with_columns(pl.col("ordered_at").to_physical().alias("ordered_at_us"))
    if "warehouse" not in frame.columns:
        frame = frame.with_columns(warehouse=pl.lit(None, pl.String))
    return frame.with_columns(pl.col("counted_at").to_physical().alias("counted_at_us"))


def without_repeated(connection: duckdb.DuckDBPyConnection, day: Day, feed: str) -> None:
    """Takes duplicates and conflicts out: only keys whose hash occurs twice are looked at exactly, only files with any are rewritten."""
    table, key = TABLE[feed], KEY[feed]
    lines = f"read_parquet('{day.out}/{table}/*.parquet')"
    connection.execute(f"CREATE OR REPLACE TABLE suspects AS SELECT hash({key}) AS key FROM {lines} GROUP BY ALL HAVING count(*) > 1")
    connection.execute(
        "CREATE OR REPLACE TABLE repeated AS SELECT *, CASE WHEN equal < of_key THEN 'CONFLICTING_ORDER' ELSE 'DUPLICATE_ORDER' END AS rule"
        f" FROM (SELECT l.*, f.file, row_number() OVER (PARTITION BY {CONTENT[feed]} ORDER BY file, row_number) AS place,"
        f" count(*) OVER (PARTITION BY {CONTENT[feed]}) AS equal, count(*) OVER (PARTITION BY {key}) AS of_key"
        f" FROM {lines} l JOIN (SELECT file_id, file FROM files) f USING (file_id) WHERE hash({key}) IN (FROM suspects))"
        " WHERE equal < of_key OR place > 1"
    )
    connection.execute(
        f"INSERT INTO quarantine SELECT '{feed}', market, file_id, file, row_number, rule, 'sent with different content', sku,"
        f" {MEASURE[feed]}, to_json(repeated)::text FROM repeated WHERE rule = 'CONFLICTING_ORDER'"
    )
    connection.execute(f"INSERT INTO duplicates SELECT '{feed}', file, file_id, row_number FROM repeated WHERE rule = 'DUPLICATE_ORDER'")
    for (file,) in connection.execute("SELECT DISTINCT file FROM repeated").fetchall():
        path = day.out / table / f"{Path(file).stem}.parquet"
        kept = path.with_suffix(".kept")
        connection.execute(f"COPY (FROM read_parquet('{path}') l ANTI JOIN repeated USING (file_id, row_number)) TO '{kept}' {PARQUET}")
        kept.replace(path)


def plan(connection: duckdb.DuckDBPyConnection, day: Day) -> None:
    """Aggregated orders, net demand, supplier orders, allocations."""
    for name, sql in PLAN.items():
        connection.execute(f"CREATE TABLE {name} AS {sql.replace('$OUT', str(day.out))}", {"day": day.date} if "$day" in sql else {})
        connection.execute(f"COPY {name} TO '{day.out}/{name}.parquet' {PARQUET}")
    cursor = connection.execute("FROM supplier_orders ORDER BY supplier_id, sku")
    columns = [column[0] for column in cursor.description]
    write_csvs(day, (dict(zip(columns, row, strict=True)) for row in cursor.fetchall()))


def rounded_up(units: str = "greatest(need, moq)") -> str:
    """Units in whole packs: the need, at least the MOQ."""
    return f"({units} + (pack_size - {units} % pack_size) % pack_size)::decimal(38,3)"


PLAN = {
    "aggregated_orders": """
        WITH sums AS (  -- in whole numbers: decimals of 38 digits are many times slower
          SELECT market, sku, currency, sum(quantity) AS quantity, count(*) AS order_lines,
            sum(((quantity * 1000)::bigint * (unit_price * 10000)::bigint + 500) // 1000) AS revenue
          FROM read_parquet('$OUT/order_lines/*.parquet') GROUP BY ALL
        )
        SELECT $day::date AS run_date, market, sku, COALESCE(l.currency, m.currency) AS currency,
          sum(quantity)::decimal(38,3) AS quantity, (sum(revenue)::decimal(38,4) * 0.0001)::decimal(38,4) AS revenue,
          sum(order_lines)::bigint AS order_lines
        FROM sums l LEFT JOIN markets m USING (market)
        GROUP BY ALL ORDER BY market, sku, 4""",
    "net_demand": f"""
        WITH demand AS (SELECT market, sku, sum(quantity) AS gross_demand FROM aggregated_orders GROUP BY ALL),
        stock AS (
          SELECT market, sku, sum(available) AS available, sum(reserved) AS reserved, sum(greatest(available - reserved, 0)) AS usable
          FROM read_parquet('$OUT/stock_lines/*.parquet') GROUP BY ALL
        ),
        unreadable AS (SELECT DISTINCT market, sku FROM quarantine WHERE feed = 'stock' AND sku IS NOT NULL),
        unnamed AS (SELECT DISTINCT market, true AS unnamed FROM quarantine WHERE feed = 'stock' AND sku IS NULL),
        sent AS (
          SELECT market, count(*) FILTER (state = 'accepted') AS accepted, count(*) FILTER (state = 'rejected') AS rejected
          FROM files WHERE feed = 'stock' GROUP BY ALL
        ),
        active AS (SELECT market FROM markets WHERE {ACTIVE}),
        own AS (
          SELECT market, sku, safety_stock FROM planning_parameters SEMI JOIN active USING (market) SEMI JOIN active_products USING (sku)
        ),
        common AS (SELECT a.market, sku, safety_stock FROM planning_parameters p, active a WHERE p.market IS NULL),
        grid AS (
          SELECT market, sku FROM demand UNION SELECT market, sku FROM stock UNION SELECT market, sku FROM own
          UNION SELECT market, sku FROM unreadable SEMI JOIN active_products USING (sku)
        ),
        based AS (
          SELECT g.market, g.sku, COALESCE(when_missing, 'withhold') AS when_missing,
            CASE WHEN q.sku IS NOT NULL THEN 'unknown' WHEN s.sku IS NOT NULL THEN 'counted'
              WHEN COALESCE(rejected, 0) > 0 OR unnamed THEN 'unknown'
              WHEN COALESCE(accepted, 0) > 0 OR NOT COALESCE(sends_stock, true) THEN 'zero' ELSE 'unknown' END AS stock_basis,
            COALESCE(gross_demand, 0)::decimal(38,3) AS gross_demand, COALESCE(available, 0)::decimal(38,3) AS available,
            COALESCE(reserved, 0)::decimal(38,3) AS reserved, COALESCE(usable, 0)::decimal(38,3) AS usable,
            COALESCE(o.safety_stock, c.safety_stock, 0)::decimal(18,3) AS safety_stock
          FROM grid g LEFT JOIN demand USING (market, sku) LEFT JOIN stock s USING (market, sku)
            LEFT JOIN unreadable q USING (market, sku) LEFT JOIN sent USING (market) LEFT JOIN unnamed USING (market)
            LEFT JOIN markets m USING (market)
            LEFT JOIN own o USING (market, sku) LEFT JOIN common c USING (market, sku)
        )
        SELECT $day::date AS run_date, market, sku, gross_demand,
          CASE WHEN stock_basis <> 'unknown' THEN available END AS available,
          CASE WHEN stock_basis <> 'unknown' THEN reserved END AS reserved,
          CASE WHEN stock_basis <> 'unknown' THEN usable END AS usable,
          0::decimal(38,3) AS on_order, safety_stock,
          CASE WHEN stock_basis = 'unknown' AND when_missing <> 'compute' THEN NULL
            ELSE greatest(gross_demand + safety_stock - if(stock_basis = 'unknown', 0, usable), 0) END::decimal(38,3) AS net_demand,
          stock_basis
        FROM based ORDER BY market, sku""",
    "supplier_orders": f"""
        WITH needs AS (SELECT sku, sum(net_demand)::decimal(38,3) AS need FROM net_demand GROUP BY sku HAVING sum(net_demand) > 0),
        offers AS (
          SELECT * FROM supplier_products JOIN (SELECT supplier_id, currency FROM suppliers WHERE {ACTIVE}) USING (supplier_id)
          WHERE priority > 0 AND COALESCE(valid_from <= $day, true) AND COALESCE(valid_to >= $day, true)
        ),
        quoted AS (SELECT *, {rounded_up()} AS own FROM offers JOIN needs USING (sku)),
        lowest AS (  -- what would be ordered at the supplier's lowest price break that can take the order
          SELECT supplier_id, sku, own AS lowest_quantity FROM quoted
          WHERE own >= min_quantity AND COALESCE(own <= max_order_quantity, true)
          QUALIFY row_number() OVER (PARTITION BY supplier_id, sku ORDER BY min_quantity, valid_from, unit_price) = 1
        ),
        reached AS (
          SELECT *, if(own >= min_quantity, own, {rounded_up("lowest_quantity")}) AS quantity
          FROM quoted JOIN lowest USING (supplier_id, sku) WHERE min_quantity <= lowest_quantity
        )
        SELECT $day::date AS run_date, supplier_id, sku, need, quantity, pack_size, moq, unit_price, currency,
          (quantity::decimal(38,3) * unit_price)::decimal(38,4) AS amount, ($day::date + lead_time_days)::date AS expected_date
        FROM reached
        WHERE COALESCE(quantity <= max_order_quantity, true) AND (quantity = {rounded_up("need")} OR quantity <= lowest_quantity)
        QUALIFY row_number() OVER (PARTITION BY sku ORDER BY priority, supplier_id, min_quantity DESC, valid_from DESC, unit_price) = 1
        ORDER BY supplier_id, sku""",
    "supplier_order_allocations": """
        SELECT run_date, supplier_id, sku, 'net_demand' AS kind, n.market, n.net_demand AS quantity
        FROM supplier_orders o JOIN (SELECT market, sku, net_demand FROM net_demand WHERE net_demand > 0) n USING (sku)
        UNION ALL
        SELECT run_date, supplier_id, sku, 'surplus', NULL, (quantity - need)::decimal(38,3) FROM supplier_orders WHERE quantity > need
        ORDER BY supplier_id, sku, kind, market""",
}

if __name__ == "__main__":
    main()
