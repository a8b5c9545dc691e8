"""`procurement demand`."""

import csv
from decimal import Decimal
from pathlib import Path

from procurement_platform.procurement.tables import NET_DEMAND
from procurement_platform.settings import Settings
from procurement_platform_tests.cli.conftest import DAY, Procurement, RanDay


def test_each_line_explains_its_net_demand(procurement: Procurement, ran_day: RanDay) -> None:
    rows = procurement("demand", DAY, "--format", "json").json
    assert [list(row) for row in rows[:1]] == [[column.name for column in NET_DEMAND.columns]]
    assert {row["stock_basis"] for row in rows} == {"counted", "zero", "unknown"}
    for row in rows:
        gross, safety, usable, on_order = (Decimal(row[name] or 0) for name in ("gross_demand", "safety_stock", "usable", "on_order"))
        needed = max(Decimal(0), gross + safety - usable - on_order)
        if row["net_demand"] is None:
            assert row["stock_basis"] == "unknown"
        else:
            assert Decimal(row["net_demand"]) == needed
        assert (row["usable"] is None) == (row["stock_basis"] == "unknown")


def test_unknown_stock_is_withheld_or_planned_as_the_help_says(procurement: Procurement, ran_day: RanDay, tmp_path: Path) -> None:
    assert procurement("reference", "export", tmp_path).code == 0
    policy = {row["market"]: row["when_missing"] for row in csv.DictReader((tmp_path / "markets.csv").read_text("utf-8").splitlines())}
    unknown = [row for row in procurement("demand", DAY, "--format", "json").json if row["stock_basis"] == "unknown"]
    assert unknown
    for row in unknown:
        assert (row["net_demand"] is None) == (policy[row["market"]] == "withhold")
    told = " ".join(procurement("demand", "--help").out.replace("│", " ").split())
    assert "the market's when_missing decides: withhold leaves net_demand empty" in told
    assert "compute plans as if there were no stock" in told


def test_a_market_and_a_sku_are_picked(procurement: Procurement, ran_day: RanDay) -> None:
    rows = procurement("demand", DAY, "--format", "json").json
    market, sku = rows[0]["market"], rows[0]["sku"]
    assert procurement("demand", DAY, "--market", market, "--format", "json").json == [row for row in rows if row["market"] == market]
    assert procurement("demand", DAY, "--sku", sku, "--format", "json").json == [row for row in rows if row["sku"] == sku]
    both = procurement("demand", DAY, "--sku", sku, "--market", market)
    assert both.out.splitlines()[0].strip() == f"Net demand of {DAY}: {sku} in {market}"
    assert sum(sku in line for line in both.out.splitlines()[1:]) == 1


def test_what_the_day_does_not_know_is_named_and_what_was_not_planned_is_said(
    procurement: Procurement, ran_day: RanDay, tmp_path: Path
) -> None:
    rows = procurement("demand", DAY, "--format", "json").json
    assert (
        f"{rows[0]['sku']}x is no product in the reference that {DAY} was run with"
        in procurement("demand", DAY, "--sku", f"{rows[0]['sku']}x").error
    )
    assert f"XX is no market in the reference that {DAY} was run with" in procurement("demand", DAY, "--market", "XX").error
    assert procurement("reference", "export", tmp_path).code == 0
    products = [row["sku"] for row in csv.DictReader((tmp_path / "products.csv").read_text("utf-8").splitlines())]
    unplanned = next(sku for sku in products if sku not in {row["sku"] for row in rows})
    done = procurement("demand", DAY, "--sku", unplanned, "--format", "json")
    assert (done.code, done.json) == (0, [])
    assert f"{unplanned} was not planned on {DAY}" in done.err


def test_markets_and_skus_are_in_order_and_once(procurement: Procurement, ran_day: RanDay) -> None:
    keys = [(row["market"], row["sku"]) for row in procurement("demand", DAY, "--format", "json").json]
    assert keys == sorted(set(keys))


def test_the_table_leaves_out_the_date_that_its_title_has(procurement: Procurement, ran_day: RanDay) -> None:
    title, header, *_ = procurement("demand", DAY).out.splitlines()
    assert title.strip() == f"Net demand of {DAY}"
    assert "run_date" not in header.split()


def test_a_day_that_was_never_run_is_one_line(procurement: Procurement, home: Settings) -> None:
    assert "was never run" in procurement("demand", DAY).error
