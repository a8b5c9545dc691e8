"""The procurement day by hand with polars: one file at a time to Parquet, then lazily over the Parquet files.

Run: python polars_day.py INBOX REFERENCE OUT DATE
"""

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import polars as pl
from shared import MAX_PRICE, MAX_QUANTITY, MAX_TEXT, Day, Taken, take, the_day, write_csvs

QUANTITY, UNITS, MONEY = pl.Decimal(18, 3), pl.Decimal(38, 3), pl.Decimal(38, 4)
COLUMNS = {
    "orders": ["order_id", "line_number", "market", "sku", "quantity", "unit_price", "currency", "ordered_at_us", "customer_id"],
    "stock": ["market", "sku", "available", "reserved", "counted_at_us", "warehouse"],
}
KEY = {"orders": ["market", "order_id", "line_number", "key_sku"], "stock": ["market", "sku", "warehouse"]}
MEASURE = {"orders": "quantity", "stock": "available"}
FOLDER = {"orders": "order_lines", "stock": "stock_lines"}


@dataclass
class FileDone:
    """A file that was taken in: its quarantined rows, the hashes of its accepted rows' keys, where these are."""

    taken: Taken
    path: Path
    rejected: bool = False
    quarantine: pl.DataFrame | None = None
    hashes: pl.Series | None = None


def main() -> None:
    day = the_day()
    reference = {p.stem: pl.read_parquet(p) for p in day.reference.glob("*.parquet")}
    products = active(reference["products"], day)["sku"].implode()
    zones = dict(reference["markets"].select("market", "timezone").iter_rows())
    jobs = [(feed, path) for feed in ("orders", "stock") for path in day.files(feed)]
    jobs.sort(key=lambda job: -job[1].stat().st_size)
    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(lambda job: take_in(day, zones, products, *job), jobs))
    quarantine = [each.quarantine for each in done if each.quarantine is not None]
    duplicates = []
    for feed in ("orders", "stock"):
        conflicts, twice = without_repeated(feed, [each for each in done if each.taken.feed == feed and not each.rejected])
        quarantine.append(conflicts)
        duplicates.append(twice)
    quarantined = pl.concat(quarantine).sort("feed", "file", "row_number")
    write(quarantined, day.out / "quarantine.parquet")
    write(pl.concat(duplicates).sort("feed", "file", "row_number"), day.out / "duplicates.parquet")
    plan(day, reference, quarantined, done)


def active(table: pl.DataFrame, day: Day) -> pl.DataFrame:
    return table.filter(pl.col("active_from").fill_null(day.date) <= day.date, pl.col("active_to").fill_null(day.date) >= day.date)


def write(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path, compression="zstd", compression_level=1)


def bad_text(name: str, *, optional: bool = False) -> pl.Expr:
    text = pl.col(name)
    bad = ((text.str.len_bytes() > MAX_TEXT) & (text.str.len_chars() > MAX_TEXT)) | text.str.contains(r"[\x00-\x1f\x7f]")
    return bad.fill_null(value=False) if optional else bad.fill_null(value=True) | (text.str.strip_chars() == "")


def out_of(name: str, least: pl.Expr, most: int) -> pl.Expr:
    return (least | (pl.col(name) > most)).fill_null(value=True)


def rules(feed: str, market: str, start: int, end: int) -> dict[str, pl.Expr]:
    """What makes a row invalid: reason → expression."""
    zero = pl.lit(Decimal(0))
    found = {
        "market": pl.col("market").ne_missing(pl.lit(market)),
        "sku": bad_text("sku"),
    }
    if feed == "stock":
        return found | {
            "available": out_of("available", pl.col("available") < zero, MAX_QUANTITY),
            "reserved": out_of("reserved", pl.col("reserved") < zero, MAX_QUANTITY),
            "warehouse": bad_text("warehouse", optional=True),
        }
    moment = pl.col("ordered_at_us")
    return found | {
        "order_id": bad_text("order_id"),
        "quantity": out_of("quantity", pl.col("quantity") <= zero, MAX_QUANTITY),
        "unit_price": out_of("unit_price", pl.col("unit_price") < zero, MAX_PRICE),
        "currency": (~pl.col("currency").str.contains("^[A-Z]{3}$")).fill_null(value=False),
        "ordered_at": ((moment < start) | (moment >= end)).fill_null(value=True),
        "customer_id": bad_text("customer_id", optional=True),
    }


def take_in(day: Day, zones: dict[str, str], products: pl.Series, feed: str, path: Path) -> FileDone:
    """One file: hash, raw copy, decode, contract; accepted lines to Parquet, the others to the quarantine."""
    taken = take(day, feed, path)
    done = FileDone(taken, day.out / FOLDER[feed] / f"{path.stem}.parquet")
    frame = decoded(feed, taken)
    if frame.height and not (frame["market"] == taken.market).any():
        done.rejected = True
        return done
    broken = rules(feed, taken.market, *day.window_us(zones[taken.market]))
    unknown = ~pl.col("sku").is_in(products)
    bad = frame.select(pl.any_horizontal(*broken.values(), unknown.fill_null(value=True)).alias("bad"))["bad"]
    if bad.any():
        done.quarantine = frame.filter(bad).select(
            pl.lit(feed).alias("feed"),
            pl.lit(taken.market).alias("market"),
            pl.lit(taken.file_id).alias("file_id"),
            pl.lit(taken.file).alias("file"),
            pl.col("row_number").cast(pl.Int64),
            pl.when(pl.any_horizontal(*broken.values())).then(pl.lit("INVALID_ROW")).otherwise(pl.lit("UNKNOWN_PRODUCT")).alias("rule"),
            pl.concat_str([pl.when(e).then(pl.lit(reason)) for reason, e in broken.items()], separator="; ", ignore_nulls=True).alias(
                "reasons"
            ),
            pl.when(~broken["sku"]).then(pl.col("sku")).alias("sku"),
            pl.col(MEASURE[feed]).alias("quantity"),
            pl.struct(COLUMNS[feed]).struct.json_encode().alias("row"),
        )
        frame = frame.filter(~bad)
    lines = frame.select(
        pl.lit(day.date).alias("run_date"), pl.lit(taken.file_id).alias("file_id"), pl.col("row_number").cast(pl.Int64), *COLUMNS[feed]
    )
    done.hashes = hashes(lines, feed)
    write(lines, done.path)
    return done


def decoded(feed: str, taken: Taken) -> pl.DataFrame:
    frame = pl.read_avro(io.BytesIO(taken.data)).with_row_index("row_number", offset=1)
    if feed == "orders":
        return frame.with_columns(
            pl.col("ordered_at").to_physical().alias("ordered_at_us"),
            *(pl.when(pl.col(c).str.strip_chars() != "").then(pl.col(c)).alias(c) for c in ("currency", "customer_id")),
        )
    if "warehouse" not in frame.columns:
        frame = frame.with_columns(pl.lit(None, pl.String).alias("warehouse"))
    return frame.with_columns(pl.col("counted_at").to_physical().alias("counted_at_us"))


def keyed(lines: pl.DataFrame, feed: str) -> pl.DataFrame:
    if feed == "stock":
        return lines
    return lines.with_columns(pl.when(pl.col("line_number").is_null()).then(pl.col("sku")).alias("key_sku"))


def hashes(lines: pl.DataFrame, feed: str) -> pl.Series:
    key = KEY[feed]
    combined = pl.col(key[0]).hash(1)
    for place, name in enumerate(key[1:], start=2):
        combined = combined * 31 + pl.col(name).hash(place)
    return keyed(lines, feed).select(combined.alias("hash"))["hash"]


def without_repeated(feed: str, done: list[FileDone]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Takes duplicates and conflicts out: only keys whose hash occurs twice are looked at exactly. Returns conflicts and duplicates."""
    every = pl.concat([each.hashes for each in done if each.hashes is not None])
    suspects = every.filter(every.is_duplicated()).unique().implode()
    candidates = [
        keyed(pl.read_parquet(each.path).filter(mask), feed).with_columns(file=pl.lit(each.taken.file))
        for each in done
        if each.hashes is not None and (mask := each.hashes.is_in(suspects)).any()
    ]
    same = ["key_sku", *COLUMNS[feed]] if feed == "orders" else COLUMNS[feed]
    repeated = (
        pl.concat(candidates)
        .sort("file", "row_number")
        .with_columns(
            place=pl.int_range(pl.len()).over(same),
            equal=pl.len().over(same),
            of_key=pl.len().over(KEY[feed]),
        )
        .filter((pl.col("equal") < pl.col("of_key")) | (pl.col("place") > 0))
    )
    conflict = pl.col("equal") < pl.col("of_key")
    for each in done:
        own = repeated.filter(pl.col("file") == each.taken.file)
        if own.height:
            write(pl.read_parquet(each.path).join(own, on="row_number", how="anti", maintain_order="left"), each.path)
    conflicts = repeated.filter(conflict).select(
        pl.lit(feed).alias("feed"),
        "market",
        "file_id",
        "file",
        "row_number",
        pl.lit("CONFLICTING_ORDER").alias("rule"),
        pl.lit("sent with different content").alias("reasons"),
        "sku",
        pl.col(MEASURE[feed]).alias("quantity"),
        pl.struct(COLUMNS[feed]).struct.json_encode().alias("row"),
    )
    return conflicts, repeated.filter(~conflict).select(pl.lit(feed).alias("feed"), "file", "file_id", "row_number")


def plan(day: Day, reference: dict[str, pl.DataFrame], quarantine: pl.DataFrame, done: list[FileDone]) -> None:
    """Aggregated orders, net demand, supplier orders, allocations."""
    money = (pl.col("quantity").to_physical().cast(pl.Int64) * pl.col("unit_price").to_physical().cast(pl.Int64) + 500) // 1000
    aggregated = (
        pl.scan_parquet(day.out / "order_lines" / "*.parquet")
        .group_by("market", "sku", "currency")
        .agg(pl.col("quantity").sum(), money.sum().alias("revenue"), pl.len().alias("order_lines"))
        .join(reference["markets"].lazy().select("market", own="currency"), on="market", how="left")
        .with_columns(pl.coalesce("currency", "own").alias("currency"))
        .group_by("market", "sku", "currency")
        .agg(pl.col("quantity").sum(), pl.col("revenue").sum(), pl.col("order_lines").sum().cast(pl.Int64))
        .sort("market", "sku", "currency")
        .select(
            pl.lit(day.date).alias("run_date"),
            "market",
            "sku",
            "currency",
            pl.col("quantity").cast(UNITS),
            (pl.col("revenue").cast(MONEY) * Decimal("0.0001")).cast(MONEY).alias("revenue"),
            "order_lines",
        )
        .collect(engine="streaming")
    )
    write(aggregated, day.out / "aggregated_orders.parquet")
    demand = net_demand(day, reference, aggregated, quarantine, done)
    write(demand, day.out / "net_demand.parquet")
    orders = supplier_orders(day, reference, demand)
    write(orders, day.out / "supplier_orders.parquet")
    parts = orders.join(demand.filter(pl.col("net_demand") > 0).select("sku", "market", "net_demand"), on="sku").select(
        "run_date", "supplier_id", "sku", pl.lit("net_demand").alias("kind"), "market", pl.col("net_demand").alias("quantity")
    )
    surplus = orders.filter(pl.col("quantity") > pl.col("need")).select(
        "run_date",
        "supplier_id",
        "sku",
        pl.lit("surplus").alias("kind"),
        pl.lit(None, pl.String).alias("market"),
        (pl.col("quantity") - pl.col("need")).cast(UNITS).alias("quantity"),
    )
    write(pl.concat([parts, surplus]).sort("supplier_id", "sku", "kind", "market"), day.out / "supplier_order_allocations.parquet")
    write_csvs(day, orders.iter_rows(named=True))


def net_demand(
    day: Day, reference: dict[str, pl.DataFrame], aggregated: pl.DataFrame, quarantine: pl.DataFrame, done: list[FileDone]
) -> pl.DataFrame:
    pair = ["market", "sku"]
    demand = aggregated.group_by(pair).agg(pl.col("quantity").sum().alias("gross_demand"))
    free = pl.col("available") - pl.col("reserved")
    stock = (
        pl.scan_parquet(day.out / "stock_lines" / "*.parquet")
        .group_by(pair)
        .agg(pl.col("available").sum(), pl.col("reserved").sum(), free.filter(free > Decimal(0)).sum().alias("usable"))
        .with_columns(counted=pl.lit(value=True))
        .collect(engine="streaming")
    )
    unreadable = quarantine.filter(feed="stock").select(pair).drop_nulls().unique().with_columns(unreadable=pl.lit(value=True))
    unnamed = quarantine.filter(pl.col("sku").is_null(), feed="stock")["market"].to_list()
    sent = [(each.taken.market, each.rejected) for each in done if each.taken.feed == "stock"]
    accepted, rejected = ({market for market, bad in sent if bad is wanted} for wanted in (False, True))
    markets = active(reference["markets"], day).select("market")
    parameters = reference["planning_parameters"]
    known = active(reference["products"], day)
    own = parameters.join(markets, on="market", how="semi").join(known, on="sku", how="semi").select(*pair, own="safety_stock")
    common = parameters.filter(pl.col("market").is_null()).drop("market").join(markets, how="cross").select(*pair, common="safety_stock")
    doubtful = unreadable.join(known, on="sku", how="semi")
    grid = pl.concat([each.select(pair) for each in (demand, stock, doubtful, own)]).unique()
    for other in (demand, stock, unreadable, own, common):
        grid = grid.join(other, on=pair, how="left")
    grid = grid.join(reference["markets"].select("market", "sends_stock", "when_missing"), on="market", how="left")
    zero = pl.lit(Decimal(0), UNITS)
    basis = (
        pl.when(pl.col("unreadable").is_not_null())
        .then(pl.lit("unknown"))
        .when(pl.col("counted").is_not_null())
        .then(pl.lit("counted"))
        .when(pl.col("market").is_in([*rejected, *unnamed]))
        .then(pl.lit("unknown"))
        .when(pl.col("market").is_in(list(accepted)) | ~pl.col("sends_stock").fill_null(value=True))
        .then(pl.lit("zero"))
        .otherwise(pl.lit("unknown"))
    )
    grid = grid.with_columns(
        basis.alias("stock_basis"),
        *(pl.col(name).fill_null(zero).cast(UNITS) for name in ("gross_demand", "available", "reserved", "usable")),
        pl.coalesce("own", "common", zero).cast(QUANTITY).alias("safety_stock"),
    )
    known = pl.col("stock_basis") != "unknown"
    short = pl.col("gross_demand") + pl.col("safety_stock") - pl.when(known).then(pl.col("usable")).otherwise(zero)
    withheld = ~known & (pl.col("when_missing").fill_null("withhold") != "compute")
    return grid.sort(pair).select(
        pl.lit(day.date).alias("run_date"),
        *pair,
        "gross_demand",
        *(pl.when(known).then(pl.col(name)).alias(name) for name in ("available", "reserved", "usable")),
        zero.alias("on_order"),
        "safety_stock",
        pl.when(~withheld).then(pl.when(short > zero).then(short).otherwise(zero)).cast(UNITS).alias("net_demand"),
        "stock_basis",
    )


def supplier_orders(day: Day, reference: dict[str, pl.DataFrame], demand: pl.DataFrame) -> pl.DataFrame:
    needs = demand.group_by("sku").agg(pl.col("net_demand").sum().alias("need")).filter(pl.col("need") > Decimal(0))
    units = {
        name: pl.col(name).cast(QUANTITY).to_physical().cast(pl.Int64)
        for name in ("need", "moq", "pack_size", "min_quantity", "max_order_quantity")
    }
    pack = units["pack_size"]
    price = pl.col("unit_price").to_physical().cast(pl.Int64)
    return (
        reference["supplier_products"]
        .filter(
            pl.col("priority") > 0,
            pl.col("valid_from").fill_null(day.date) <= day.date,
            pl.col("valid_to").fill_null(day.date) >= day.date,
        )
        .join(active(reference["suppliers"], day).select("supplier_id", "currency"), on="supplier_id")
        .join(needs, on="sku")
        .with_columns(own=in_packs(pl.max_horizontal(units["need"], units["moq"]), pack))
        # What would be ordered at the supplier's lowest price break that can take the order.
        .sort(["min_quantity", "valid_from", "unit_price"], nulls_last=True)
        .with_columns(can=(pl.col("own") >= units["min_quantity"]) & (pl.col("own") <= units["max_order_quantity"]).fill_null(value=True))
        .with_columns(lowest=pl.when("can").then("own").drop_nulls().first().over("supplier_id", "sku"))
        .filter(units["min_quantity"] <= pl.col("lowest"))
        .with_columns(units=pl.when(pl.col("own") >= units["min_quantity"]).then("own").otherwise(in_packs(pl.col("lowest"), pack)))
        .with_columns(quantity=scaled(pl.col("units"), 3, UNITS))
        .filter((pl.col("quantity") <= pl.col("max_order_quantity")).fill_null(value=True))
        .filter((pl.col("units") == in_packs(units["need"], pack)) | (pl.col("units") <= pl.col("lowest")))
        .sort(
            ["sku", "priority", "supplier_id", "min_quantity", "valid_from", "unit_price"],
            descending=[False, False, False, True, True, False],
            nulls_last=True,
        )
        .unique("sku", keep="first", maintain_order=True)
        .sort("supplier_id", "sku")
        .select(
            pl.lit(day.date).alias("run_date"),
            "supplier_id",
            "sku",
            pl.col("need").cast(UNITS),
            "quantity",
            "pack_size",
            "moq",
            "unit_price",
            "currency",
            scaled((pl.col("units") * price + 500) // 1000, 4, MONEY).alias("amount"),
            (pl.lit(day.date) + pl.duration(days="lead_time_days")).cast(pl.Date).alias("expected_date"),
        )
    )


def in_packs(units: pl.Expr, pack: pl.Expr) -> pl.Expr:
    return units + (pack - units % pack) % pack


def scaled(whole: pl.Expr, places: int, dtype: pl.Decimal) -> pl.Expr:
    """Whole numbers of the smallest unit as exact decimals."""
    return (whole.cast(pl.Decimal(38, places)) * Decimal(10) ** -places).cast(dtype)


if __name__ == "__main__":
    main()
