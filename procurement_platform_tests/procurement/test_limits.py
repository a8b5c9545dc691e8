"""The highest limits that settings take: no library below counts in numbers that are too small for them."""

import gzip
import io
import json

import polars as pl
import pytest

from procurement_platform.settings import Settings
from procurement_platform_tests.procurement.shop import DAY, Shop, count, order

LIMITS = ("max_", "decode_memory", "decode_seconds", "sql_memory", "duplicate_batch", "small_day", "threshold_", "order_window")
HEADER = "market,order_id,sku,quantity,unit_price,ordered_at"


def highest(field: str) -> int:
    (bound,) = [each.le for each in Settings.model_fields[field].metadata if hasattr(each, "le")]
    return int(bound)


def line(market: str) -> dict[str, str]:
    cells = (market, "1", "A", "2", "9.99", f"{DAY}T12:00:00Z")
    return dict(zip(HEADER.split(","), cells, strict=True))


@pytest.mark.usefixtures("own_processes")
@pytest.mark.parametrize("form", ["avro", "csv", "csv.gz", "jsonl", "parquet"])
def test_files_of_every_format_are_taken_at_the_highest_limits(shop: Shop, form: str) -> None:
    fields = [name for name in Settings.model_fields if name.startswith(LIMITS)]
    assert len(fields) > 15
    shop.platform.settings = shop.platform.settings.model_copy(update={name: highest(name) for name in fields})
    row = line("DE")
    text = f"{HEADER}\n{','.join(row.values())}\n".encode()
    packed = io.BytesIO()
    pl.DataFrame([row]).with_columns(pl.col("quantity", "unit_price").cast(pl.Decimal(18, 4))).write_parquet(packed)
    content = {"csv": text, "csv.gz": gzip.compress(text), "jsonl": json.dumps(row).encode(), "parquet": packed.getvalue()}
    if form == "avro":
        shop.put("orders", "DE", [order("1", "A", 2)])
    else:
        shop.put_bytes("orders", f"DE.{form}", content[form])
    shop.put("stock", "DE", [count("A", 1)])
    shop.run()
    assert {rule for rule, market, *_ in shop.exceptions() if market == "DE"} == set()
    assert shop.demand()["DE", "A"]["gross_demand"] == 2
