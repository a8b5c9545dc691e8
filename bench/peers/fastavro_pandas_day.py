"""The procurement day by hand with fastavro and pandas, the files side by side in processes, or one after the other.

Decimals are kept as whole numbers of their smallest unit: `Decimal` objects in pandas are many times slower.

Run: python fastavro_pandas_day.py INBOX REFERENCE OUT DATE [PROCESSES]
"""

import io
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

import fastavro
import fastavro.read
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from shared import MAX_PRICE, MAX_QUANTITY, MAX_TEXT, Day, Taken, take, the_day, write_csvs

# Whole numbers, in place of a Decimal or datetime object per value.
fastavro.read.LOGICAL_READERS["bytes-decimal"] = lambda data, *_: int.from_bytes(data, "big", signed=True)
fastavro.read.LOGICAL_READERS["long-timestamp-micros"] = lambda data, *_: data

COLUMNS = {
    "orders": ["order_id", "line_number", "market", "sku", "quantity", "unit_price", "currency", "ordered_at", "customer_id"],
    "stock": ["market", "sku", "available", "reserved", "counted_at", "warehouse"],
}
TEXTS = {"orders": ["order_id", "sku", "customer_id"], "stock": ["sku", "warehouse"]}
OPTIONAL = ("line_number", "currency", "customer_id", "counted_at", "warehouse")
KEY = {"orders": ["market", "order_id", "line_number", "key_sku"], "stock": ["market", "sku", "warehouse"]}
MEASURE = {"orders": "quantity", "stock": "available"}
FOLDER = {"orders": "order_lines", "stock": "stock_lines"}
SCALE = {"unit_price": 4, "revenue": 4, "amount": 4}
STATED = ("unit_price", "safety_stock", "moq", "pack_size")  # as they stand in a row; of the other decimals only those of lines are
UNITS = (
    "quantity",
    "available",
    "reserved",
    "usable",
    "gross_demand",
    "on_order",
    "safety_stock",
    "net_demand",
    "need",
    "moq",
    "pack_size",
)
PAIR = ["market", "sku"]


@dataclass
class FileDone:
    """A file that was taken in. `rejected`: none of its rows is for its market."""

    feed: str
    market: str
    file: str
    path: Path
    rejected: bool = False
    quarantine: pd.DataFrame | None = None
    hashes: np.ndarray | None = None


def main() -> None:
    day = the_day()
    reference = {path.stem: read(path) for path in day.reference.glob("*.parquet")}
    skus = set(active(reference["products"], day)["sku"])
    zones = dict(zip(reference["markets"]["market"], reference["markets"]["timezone"], strict=True))
    jobs = [(feed, path) for feed in ("orders", "stock") for path in day.files(feed)]
    jobs.sort(key=lambda job: -job[1].stat().st_size)
    with ProcessPoolExecutor(day.processes) as processes:
        at_once = map if day.processes == 1 else processes.map
        done = list(at_once(partial(take_in, day, zones, skus), *zip(*jobs, strict=True)))
    quarantine = [each.quarantine for each in done if each.quarantine is not None]
    duplicates = []
    for feed in ("orders", "stock"):
        conflicts, twice = without_repeated(feed, [each for each in done if each.feed == feed and not each.rejected])
        quarantine.append(conflicts)
        duplicates.append(twice)
    quarantined = pd.concat(quarantine).sort_values(["feed", "file", "row_number"])
    write(quarantined, day.out / "quarantine.parquet")
    write(pd.concat(duplicates).sort_values(["feed", "file", "row_number"]), day.out / "duplicates.parquet")
    plan(day, reference, quarantined, done)


def active(table: pd.DataFrame, day: Day) -> pd.DataFrame:
    today = pd.Timestamp(day.date)  # an open end is NaT, which is neither before nor after
    return table[~(table["active_from"] > today) & ~(table["active_to"] < today)]


def read(path: Path) -> pd.DataFrame:
    """A Parquet file with decimals as whole numbers of their smallest unit, and dates as timestamps."""
    table = pq.read_table(path)
    for place, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):
            unscaled = pc.multiply(table[field.name], pa.scalar(10**field.type.scale, pa.decimal128(6, 0)))
            table = table.set_column(place, field.name, pc.cast(unscaled, pa.int64()))
    return table.to_pandas(date_as_object=False)


def write(frame: pd.DataFrame, path: Path) -> None:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    lines = "row_number" in table.column_names
    for name in table.column_names:
        if name in UNITS or name in SCALE:
            column = exact(table[name], SCALE.get(name, 3), 18 if lines or name in STATED else 38)
            table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, path, compression="zstd", compression_level=1)


def exact(column: pa.ChunkedArray, scale: int, precision: int) -> pa.ChunkedArray:
    whole = pc.cast(column, pa.int64()) if not pa.types.is_integer(column.type) else column
    scaled = pc.multiply(pc.cast(whole, pa.decimal128(19, 0)), pa.scalar(Decimal(1).scaleb(-scale), pa.decimal128(scale + 1, scale)))
    return pc.cast(scaled, pa.decimal128(precision, scale))


def take_in(day: Day, zones: dict[str, str], skus: set[str], feed: str, path: Path) -> FileDone:
    """One file: hash, raw copy, decode, contract; accepted lines to Parquet, the others to the quarantine."""
    taken = take(day, feed, path)
    done = FileDone(feed, taken.market, taken.file, day.out / FOLDER[feed] / f"{path.stem}.parquet")
    frame = decoded(feed, taken)
    if len(frame) and not (frame["market"] == taken.market).any():
        done.rejected = True
        return done
    broken = rules(frame, feed, taken.market, *day.window_us(zones[taken.market]))
    invalid = np.logical_or.reduce(list(broken.values()))
    bad = invalid | ~frame["sku"].isin(skus).to_numpy()
    frame.insert(0, "file_id", taken.file_id)
    if bad.any():
        rows = frame[bad]
        done.quarantine = pd.DataFrame(
            {
                "feed": feed,
                "market": taken.market,
                "file_id": taken.file_id,
                "file": taken.file,
                "row_number": rows["row_number"],
                "rule": np.where(invalid[bad], "INVALID_ROW", "UNKNOWN_PRODUCT"),
                "reasons": ["; ".join(r for r, mask in broken.items() if mask[i]) for i in np.flatnonzero(bad)],
                "sku": rows["sku"].where(~broken["sku"][bad], None),
                "quantity": rows[MEASURE[feed]],
                "row": [json.dumps(row, default=str) for row in rows[COLUMNS[feed]].to_dict("records")],
            }
        )
        frame = frame[~bad]
    done.hashes = pd.util.hash_pandas_object(keyed(frame, feed)[KEY[feed]], index=False).to_numpy()
    frame = frame.rename(columns={"ordered_at": "ordered_at_us", "counted_at": "counted_at_us"})
    frame.insert(0, "run_date", day.date)
    write(frame, done.path)
    return done


def decoded(feed: str, taken: Taken) -> pd.DataFrame:
    frame = pd.DataFrame.from_records(fastavro.reader(io.BytesIO(taken.data)))
    for name in COLUMNS[feed]:
        if name not in frame:
            frame[name] = None
    for name in ("currency", "customer_id", "warehouse"):
        if name in frame:
            frame[name] = frame[name].where(frame[name].str.strip() != "", None) if frame[name].notna().any() else None
    if feed == "orders":
        frame["line_number"] = frame["line_number"].astype("Int32")
    frame.insert(0, "row_number", np.arange(1, len(frame) + 1))
    return frame


def rules(frame: pd.DataFrame, feed: str, market: str, start: int, end: int) -> dict[str, np.ndarray]:
    """What makes a row invalid: reason → mask."""
    found = {"market": (frame["market"] != market).to_numpy()}
    for name in TEXTS[feed]:
        text = frame[name]
        if not text.notna().any() and name in OPTIONAL:
            continue
        bad = (text.str.len() > MAX_TEXT) | text.str.contains(r"[\x00-\x1f\x7f]", regex=True, na=False)
        found[name] = (bad if name in OPTIONAL else bad | text.isna() | (text.str.strip() == "")).to_numpy()
    if feed == "stock":
        return found | {c: ~frame[c].between(0, MAX_QUANTITY * 1000).to_numpy() for c in ("available", "reserved")}
    codes = frame["currency"].dropna().unique()
    wrong = [code for code in codes if not (len(code) == 3 and code.isascii() and code.isalpha() and code.isupper())]  # noqa: PLR2004
    return found | {
        "quantity": ~frame["quantity"].between(1, MAX_QUANTITY * 1000).to_numpy(),
        "unit_price": ~frame["unit_price"].between(0, MAX_PRICE * 10_000).to_numpy(),
        "currency": frame["currency"].isin(wrong).to_numpy(),
        "ordered_at": ~frame["ordered_at"].between(start, end - 1).to_numpy(),
    }


def keyed(lines: pd.DataFrame, feed: str) -> pd.DataFrame:
    return lines if feed == "stock" else lines.assign(key_sku=lines["sku"].where(lines["line_number"].isna(), None))


def without_repeated(feed: str, done: list[FileDone]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Takes duplicates and conflicts out: only keys whose hash occurs twice are looked at exactly. Returns conflicts and duplicates."""
    every = pd.Series(np.concatenate([each.hashes for each in done if each.hashes is not None]))
    suspects = every[every.duplicated()].unique()
    candidates = [
        keyed(read(each.path)[mask], feed).assign(file=each.file)
        for each in done
        if each.hashes is not None and (mask := np.isin(each.hashes, suspects)).any()
    ]
    rows = pd.concat(candidates).sort_values(["file", "row_number"]).reset_index(drop=True)
    same = [name for name in rows.columns if name not in ("run_date", "file_id", "row_number", "file")]
    equal = rows.groupby(same, dropna=False)["row_number"]
    rows = rows.assign(
        place=equal.cumcount(),
        equal=equal.transform("size"),
        of_key=rows.groupby(KEY[feed], dropna=False)["row_number"].transform("size"),
    )
    conflict = rows["equal"] < rows["of_key"]
    repeated = rows[conflict | (rows["place"] > 0)]
    for file, own in repeated.groupby("file"):
        each = next(each for each in done if each.file == file)
        table = pq.read_table(each.path)
        kept = pc.invert(pc.is_in(table["row_number"], pa.array(own["row_number"])))
        pq.write_table(table.filter(kept), each.path, compression="zstd", compression_level=1)
    conflicts = rows[conflict]
    told = pd.DataFrame(
        {
            "feed": feed,
            **{name: conflicts[name] for name in ("market", "file_id", "file", "row_number")},
            "rule": "CONFLICTING_ORDER",
            "reasons": "sent with different content",
            "sku": conflicts["sku"],
            "quantity": conflicts[MEASURE[feed]],
            "row": [json.dumps(row, default=str) for row in conflicts[same].to_dict("records")],
        }
    )
    return told, repeated.loc[~conflict[repeated.index], ["file", "file_id", "row_number"]].assign(feed=feed)


def plan(day: Day, reference: dict[str, pd.DataFrame], quarantine: pd.DataFrame, done: list[FileDone]) -> None:
    """Aggregated orders, net demand, supplier orders, allocations."""
    own = dict(zip(reference["markets"]["market"], reference["markets"]["currency"], strict=True))
    sums = []
    for path in sorted((day.out / "order_lines").glob("*.parquet")):  # a file at a time: all lines at once would not fit in memory
        lines = read_columns(path, ["market", "sku", "currency", "quantity", "unit_price"])
        lines["currency"] = lines["currency"].fillna(lines["market"].map(own))
        lines["revenue"] = (lines["quantity"] * lines["unit_price"] + 500) // 1000
        grouped = lines.groupby(["market", "sku", "currency"], observed=True, sort=False)
        sums.append(grouped.agg(quantity=("quantity", "sum"), revenue=("revenue", "sum"), order_lines=("sku", "size")).reset_index())
    aggregated = pd.concat(sums).groupby(["market", "sku", "currency"], as_index=False).sum()
    aggregated.insert(0, "run_date", day.date)
    write(aggregated, day.out / "aggregated_orders.parquet")
    demand = net_demand(day, reference, aggregated, quarantine, done)
    write(demand, day.out / "net_demand.parquet")
    orders = supplier_orders(day, reference, demand)
    write(orders, day.out / "supplier_orders.parquet")
    needed = demand.loc[demand["net_demand"].fillna(0) > 0, [*PAIR, "net_demand"]].rename(columns={"net_demand": "quantity"})
    parts = orders[["run_date", "supplier_id", "sku"]].merge(needed, on="sku").assign(kind="net_demand")
    surplus = orders.loc[orders["quantity"] > orders["need"], ["run_date", "supplier_id", "sku"]].assign(
        kind="surplus", market=None, quantity=orders["quantity"] - orders["need"]
    )
    shares = pd.concat([parts, surplus]).sort_values(["supplier_id", "sku", "kind", "market"])
    shares["quantity"] = shares["quantity"].astype("int64")
    write(shares[["run_date", "supplier_id", "sku", "kind", "market", "quantity"]], day.out / "supplier_order_allocations.parquet")
    write_csvs(day, pq.read_table(day.out / "supplier_orders.parquet").to_pylist())


def read_columns(path: Path, columns: list[str]) -> pd.DataFrame:
    table = pq.read_table(path, columns=columns)
    for name in ("quantity", "unit_price", "available", "reserved"):
        if name in columns:
            unscaled = pc.multiply(table[name], pa.scalar(10 ** table[name].type.scale, pa.decimal128(6, 0)))
            table = table.set_column(table.column_names.index(name), name, pc.cast(unscaled, pa.int64()))
    return table.to_pandas(categories=[name for name in ("market", "sku") if name in columns])


def net_demand(
    day: Day, reference: dict[str, pd.DataFrame], aggregated: pd.DataFrame, quarantine: pd.DataFrame, done: list[FileDone]
) -> pd.DataFrame:
    demand = aggregated.groupby(PAIR, as_index=False)["quantity"].sum().rename(columns={"quantity": "gross_demand"})
    counted = []
    for path in sorted((day.out / "stock_lines").glob("*.parquet")):
        lines = read_columns(path, [*PAIR, "available", "reserved"])
        lines["usable"] = (lines["available"] - lines["reserved"]).clip(lower=0)
        counted.append(lines.groupby(PAIR, observed=True, as_index=False, sort=False)[["available", "reserved", "usable"]].sum())
    stock = pd.concat(counted).groupby(PAIR, as_index=False).sum().assign(counted=True)
    unreadable = quarantine.loc[quarantine["feed"] == "stock", PAIR].dropna().drop_duplicates().assign(unreadable=True)
    unnamed = set(quarantine.loc[(quarantine["feed"] == "stock") & quarantine["sku"].isna(), "market"])
    accepted, rejected = ({each.market for each in done if each.feed == "stock" and each.rejected is wanted} for wanted in (False, True))
    markets = active(reference["markets"], day)[["market"]]
    parameters = reference["planning_parameters"]
    known = active(reference["products"], day)["sku"]
    own = parameters[parameters["market"].isin(markets["market"]) & parameters["sku"].isin(known)].rename(columns={"safety_stock": "own"})[
        [*PAIR, "own"]
    ]
    common = (
        parameters[parameters["market"].isna()].rename(columns={"safety_stock": "common"})[["sku", "common"]].merge(markets, how="cross")
    )
    doubtful = unreadable[unreadable["sku"].isin(known)]
    grid = pd.concat([each[PAIR] for each in (demand, stock, doubtful, own)]).drop_duplicates()
    for other in (demand, stock, unreadable, own, common):
        grid = grid.merge(other, on=PAIR, how="left")
    grid = grid.merge(reference["markets"][["market", "sends_stock", "when_missing"]], on="market", how="left").sort_values(PAIR)
    grid["stock_basis"] = np.select(
        [
            grid["unreadable"].notna(),
            grid["counted"].notna(),
            grid["market"].isin(rejected | unnamed),
            grid["market"].isin(accepted) | (grid["sends_stock"] == False),  # noqa: E712
        ],
        ["unknown", "counted", "unknown", "zero"],
        "unknown",
    )
    known = grid["stock_basis"] != "unknown"
    for name in ("gross_demand", "available", "reserved", "usable"):
        grid[name] = grid[name].fillna(0).astype("int64")
    grid["safety_stock"] = grid["own"].fillna(grid["common"]).fillna(0).astype("int64")
    short = grid["gross_demand"] + grid["safety_stock"] - grid["usable"].where(known, 0)
    withheld = ~known & (grid["when_missing"].fillna("withhold") != "compute")
    for name in ("available", "reserved", "usable"):
        grid[name] = grid[name].astype("Int64").where(known)
    grid["net_demand"] = short.clip(lower=0).astype("Int64").where(~withheld)
    grid = grid.assign(run_date=day.date, on_order=0)
    names = ("gross_demand", "available", "reserved", "usable", "on_order", "safety_stock", "net_demand", "stock_basis")
    return grid[["run_date", *PAIR, *names]]


def in_packs(units: pd.Series, pack: pd.Series) -> pd.Series:
    return units + (pack - units % pack) % pack


def supplier_orders(day: Day, reference: dict[str, pd.DataFrame], demand: pd.DataFrame) -> pd.DataFrame:
    needs = demand.groupby("sku", as_index=False)["net_demand"].sum().rename(columns={"net_demand": "need"})
    needs["need"] = needs["need"].astype("int64")
    offers = reference["supplier_products"]
    early, late = offers["valid_from"] > pd.Timestamp(day.date), offers["valid_to"] < pd.Timestamp(day.date)
    quoted = (
        offers[(offers["priority"] > 0) & ~early & ~late]
        .merge(active(reference["suppliers"], day)[["supplier_id", "currency"]], on="supplier_id")
        .merge(needs[needs["need"] > 0], on="sku")
    )
    quoted = quoted.sort_values(["min_quantity", "valid_from", "unit_price"])
    pack = quoted["pack_size"]
    own = in_packs(quoted[["need", "moq"]].max(axis=1), pack)
    # What would be ordered at the supplier's lowest price break that can take the order.
    can = (own >= quoted["min_quantity"]) & ~(own > quoted["max_order_quantity"])
    lowest = own.where(can).groupby([quoted["supplier_id"], quoted["sku"]]).transform("first")
    quoted = quoted.assign(own=own, lowest=lowest)[lowest.notna()].astype({"lowest": "int64"})
    quoted["quantity"] = quoted["own"].where(quoted["own"] >= quoted["min_quantity"], in_packs(quoted["lowest"], quoted["pack_size"]))
    alone = quoted["quantity"] == in_packs(quoted["need"], quoted["pack_size"])
    quoted = quoted[
        (quoted["min_quantity"] <= quoted["lowest"])
        & ~(quoted["quantity"] > quoted["max_order_quantity"])
        & (alone | (quoted["quantity"] <= quoted["lowest"]))
    ]
    order = ["sku", "priority", "supplier_id", "min_quantity", "valid_from", "unit_price"]
    chosen = quoted.sort_values(order, ascending=[True, True, True, False, False, True]).drop_duplicates("sku")
    chosen = chosen.sort_values(["supplier_id", "sku"])
    chosen["amount"] = (chosen["quantity"] * chosen["unit_price"] + 500) // 1000
    chosen["expected_date"] = (pd.Timestamp(day.date) + pd.to_timedelta(chosen["lead_time_days"], unit="D")).dt.date
    chosen["run_date"] = day.date
    return chosen[
        ["run_date", "supplier_id", "sku", "need", "quantity", "pack_size", "moq", "unit_price", "currency", "amount", "expected_date"]
    ]


if __name__ == "__main__":
    main()
