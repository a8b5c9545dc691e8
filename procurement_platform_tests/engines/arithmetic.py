"""The day's arithmetic once more, in plain Python with exact decimals: what the SQL is held to. It shares no code with the package."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

Row = Mapping[str, Any]
Pair = tuple[str, str]
ZERO = Decimal(0)
LINE_FIELDS = ("order_id", "line_number", "market", "sku", "quantity", "unit_price", "currency", "ordered_at_us", "customer_id")


def duplicates(lines: Sequence[Row], earlier: Sequence[Row], names: Mapping[str, str]) -> set[tuple[str, int, str]]:
    """(file_id, row_number, kind) of every repeated line."""

    def key(line: Row) -> object:
        number = line["line_number"]
        return line["market"], line["order_id"], ("line", number) if number is not None else ("sku", line["sku"])

    def content(line: Row) -> tuple[object, ...]:
        return tuple(line[name] for name in LINE_FIELDS)

    before: dict[object, set[object]] = defaultdict(set)
    for line in earlier:
        before[key(line)].add(content(line))
    today: dict[object, list[Row]] = defaultdict(list)
    for line in sorted(lines, key=lambda line: (names[line["file_id"]], line["row_number"])):
        today[key(line)].append(line)
    found = set()
    for known, group in today.items():
        if len({content(line) for line in group} | before[known]) > 1:
            found |= {(line["file_id"], line["row_number"], "CONFLICTING_ORDER") for line in group}
        else:
            repeated = group if before[known] else group[1:]
            found |= {(line["file_id"], line["row_number"], "DUPLICATE_ORDER") for line in repeated}
    return found


def active(row: Row, first: str, last: str, day: dt.date) -> bool:
    return (row[first] is None or row[first] <= day) and (row[last] is None or day <= row[last])


def net_demand(  # noqa: PLR0913, PLR0917 -- one argument per relation
    orders: Iterable[Row],
    stock: Sequence[Row],
    quarantine: Iterable[Row],
    files: Sequence[Row],
    markets: Sequence[Row],
    parameters: Sequence[Row],
    open_orders: Iterable[Row],
    products: Iterable[Row],
    day: dt.date,
) -> dict[Pair, dict[str, Any]]:
    """(market, sku) → the other columns of the row: what is not known of its stock is None, and so is a net demand that is withheld."""
    gross: dict[Pair, Decimal] = defaultdict(Decimal)
    for row in orders:
        gross[row["market"], row["sku"]] += row["quantity"]
    counted: dict[Pair, list[Row]] = defaultdict(list)
    for row in stock:
        counted[row["market"], row["sku"]].append(row)
    receipts: dict[Pair, Decimal] = defaultdict(Decimal)
    for row in open_orders:
        receipts[row["market"], row["sku"]] += row["on_order"]
    unclear = {(row["market"], row["sku"]) for row in quarantine if row["feed"] == "stock"}
    by_market = {row["market"]: row for row in markets}
    planned = {m["market"] for m in markets if active(m, "active_from", "active_to", day)}
    sold = {p["sku"] for p in products if active(p, "active_from", "active_to", day)}
    own = {(p["market"], p["sku"]): p["safety_stock"] for p in parameters if p["market"] in planned and p["sku"] in sold}
    common = {p["sku"]: p["safety_stock"] for p in parameters if p["market"] is None}
    in_doubt = {(market, sku) for market, sku in unclear if sku in sold}
    result = {}
    for market, sku in {*gross, *counted, *in_doubt, *own}:
        safety = own.get((market, sku), common.get(sku, ZERO) if market in planned else ZERO)
        states = {f["state"] for f in files if f["feed"] == "stock" and f["market"] == market}
        if (market, sku) in unclear:
            basis = "unknown"
        elif (market, sku) in counted:
            basis = "counted"
        elif states & {"rejected", "taken_out", "useless"} or (market, None) in unclear:
            basis = "unknown"
        else:
            basis = "zero" if "accepted" in states or not by_market[market]["sends_stock"] else "unknown"
        rows = counted.get((market, sku), [])
        stocked = {
            "available": sum((row["available"] for row in rows), ZERO),
            "reserved": sum((row["reserved"] for row in rows), ZERO),
            "usable": sum((max(ZERO, row["available"] - row["reserved"]) for row in rows), ZERO),
        }
        if basis == "unknown":
            stocked = dict.fromkeys(stocked)
        demand, receipt = gross.get((market, sku), ZERO), receipts.get((market, sku), ZERO)
        withheld = basis == "unknown" and by_market[market]["when_missing"] == "withhold"
        need = None if withheld else max(ZERO, demand + safety - (stocked["usable"] or ZERO) - receipt)
        result[market, sku] = {
            "gross_demand": demand, **stocked, "on_order": receipt, "safety_stock": safety, "net_demand": need, "stock_basis": basis
        }  # fmt: skip
    return result


def in_packs(units: Decimal, offer: Row) -> Decimal:
    pack = offer["pack_size"]
    packs: Decimal = units if units % pack == 0 else (units // pack + 1) * pack
    return packs


def standing_breaks(need: Decimal, breaks: list[Row]) -> list[tuple[Row, Decimal]]:
    """Of one supplier's breaks for a SKU those that an order may be placed at, each with what is ordered there."""
    rising = [(o, in_packs(max(need, o["moq"]), o)) for o in sorted(breaks, key=lambda o: o["min_quantity"])]
    lowest = next((own for o, own in rising if o["min_quantity"] <= own <= (o["max_order_quantity"] or own)), None)
    if lowest is None:
        return []
    standing = []
    for offer, own in rising:
        quantity = own if own >= offer["min_quantity"] else in_packs(lowest, offer)
        most = offer["max_order_quantity"]
        alone = quantity == in_packs(need, offer)
        if offer["min_quantity"] <= lowest and (most is None or quantity <= most) and (alone or quantity <= lowest):
            standing.append((offer, quantity))
    return standing


def supplier_orders(
    demand: Iterable[Row], suppliers: Sequence[Row], offers: Sequence[Row], day: dt.date
) -> dict[str, tuple[str, Decimal, Decimal, Decimal, dt.date]]:
    """SKU → (supplier, need, quantity, amount, expected date)."""
    needs: dict[str, Decimal] = defaultdict(Decimal)
    for row in demand:
        needs[row["sku"]] += row["net_demand"] or ZERO
    trading = {s["supplier_id"] for s in suppliers if active(s, "active_from", "active_to", day)}
    result = {}
    for sku, need in needs.items():
        if need == 0:
            continue
        valid = []
        for offer in offers:
            if offer["sku"] != sku or offer["priority"] == 0 or offer["supplier_id"] not in trading:
                continue
            if not active(offer, "valid_from", "valid_to", day):
                continue
            valid.append(offer)
        standing = []
        for supplier in {o["supplier_id"] for o in valid}:
            standing += standing_breaks(need, [o for o in valid if o["supplier_id"] == supplier])
        if standing:
            offer, quantity = min(standing, key=lambda s: (s[0]["priority"], s[0]["supplier_id"], -s[0]["min_quantity"]))
            amount = (quantity * offer["unit_price"]).quantize(Decimal("0.0001"), ROUND_HALF_UP)
            result[sku] = (offer["supplier_id"], need, quantity, amount, day + dt.timedelta(days=offer["lead_time_days"]))
    return result
