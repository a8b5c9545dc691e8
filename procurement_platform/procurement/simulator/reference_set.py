"""Make plausible reference tables of any size: the committed sample (8 markets, 500 products, 25 suppliers), and sets for benchmarks.

The same sizes give the same tables. `procurement/sample/` is `make_reference(8, 500, 25)`, and a test holds it to that.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pyarrow as pa

from procurement_platform.database.connect import Database
from procurement_platform.errors import ConfigurationError
from procurement_platform.procurement.reference.export import write_csv_files
from procurement_platform.procurement.reference.load import LoadReport, load_reference
from procurement_platform.procurement.reference.snapshot import content_version, read_tables
from procurement_platform.procurement.reference.tables import BY_NAME, REFERENCE_TABLES, ReferenceTable
from procurement_platform.procurement.simulator.vocabulary import BRANDS, CATEGORIES, COUNTRIES, RATES, SUPPLIERS, Category

Row = tuple[object, ...]

_DAY = dt.date.fromisoformat
_PAST, _FUTURE, _YEAR_END, _NEW_YEAR = _DAY("2024-12-31"), _DAY("2030-01-01"), _DAY("2025-12-31"), _DAY("2026-01-01")
_ONE = Decimal(1)


def make_reference(markets: int, products: int, suppliers: int) -> dict[str, pa.Table]:
    """The five tables, typed and sorted as `read_tables` has them.

    One product in a hundred is delisted, one is yet to come; of 83 products one has no supplier on any day (none at all, only
    an expired offer, only priority 0, or only a supplier that is gone). Every 25th supplier is one that is gone.

    Raises:
        ConfigurationError: more markets than there are countries to name them after, or fewer than one of anything.
    """
    if not (1 <= markets <= len(COUNTRIES) and products >= 1 and suppliers >= 1):
        raise ConfigurationError(f"a reference set has 1 to {len(COUNTRIES)} markets, and at least one product and supplier")
    random = Random(f"{markets} {products} {suppliers}")  # noqa: S311 -- for plausible numbers, not for secrets
    goods = [_Product(random, number) for number in range(products)]
    sellers = [_Supplier(number) for number in range(suppliers)]
    present, gone = [s for s in sellers if not s.gone], [s for s in sellers if s.gone]
    of_category = {c.name: [s for s in present if s.sells(c)] or present for c in CATEGORIES}
    rows: dict[str, Iterator[Row]] = {
        "markets": (
            (c.market, c.name, c.currency, c.timezone, None, None, True, True, c.orders_cutoff, c.stock_cutoff, c.when_missing)
            for c in COUNTRIES[:markets]
        ),
        "products": (p.row() for p in goods),
        "suppliers": (s.row() for s in sellers),
        "supplier_products": (row for p in goods for row in _offers(random, p, of_category[p.category.name], gone)),
        "planning_parameters": (row for p in goods for row in _parameters(random, p, [c.market for c in COUNTRIES[:markets]])),
    }
    # Each table is used up before the next: the random numbers are drawn in this order.
    return {table.name: _table(table, rows[table.name]) for table in REFERENCE_TABLES}


def load_made_reference(database: Database, markets: int, products: int, suppliers: int, *, replace: bool = False) -> LoadReport:
    """Load a set of these sizes in place of an empty, the sample, or another made one; of somebody's own only to `replace` it.

    Raises:
        ConfigurationError: the database holds reference data that was not made here.
    """
    with database.connect() as connection:
        present = read_tables(connection)
    if not replace and not is_made(present):
        had = f"{present['markets'].num_rows:,} markets and {present['products'].num_rows:,} products"
        raise ConfigurationError(
            f"the database holds reference data of its own ({had}), which a made-up set would replace: ask for fewer --markets and --skus, "
            "no more than are active, simulate with a PROCUREMENT_HOME of its own, or give your tables up with --replace"
        )
    with TemporaryDirectory(prefix="procurement-reference-") as folder:
        write_csv_files(make_reference(markets, products, suppliers), Path(folder))
        return load_reference(database, Path(folder))


def is_made(tables: Mapping[str, pa.Table]) -> bool:
    """Whether the tables are all empty, or exactly a set that `make_reference` makes."""
    sizes = [tables[name].num_rows for name in ("markets", "products", "suppliers")]
    if not any(table.num_rows for table in tables.values()):
        return True
    if not all(sizes) or sizes[0] > len(COUNTRIES):
        return False
    made = make_reference(*sizes)
    return all(content_version(tables[name]) == content_version(made[name]) for name in BY_NAME)


class _Product:
    """A product: its row, its cost in euro, and what one unit more or less means."""

    def __init__(self, random: Random, number: int) -> None:
        self.number = number
        self.category: Category = CATEGORIES[number % len(CATEGORIES)]
        within = number // len(CATEGORIES)
        self.sku = f"{self.category.prefix}-{within + 1:05d}"
        item, cents = self.category.items[within % len(self.category.items)]
        size = within // len(self.category.items) % len(self.category.sizes)
        brand = BRANDS[(within // len(self.category.items) + number) % len(BRANDS)]
        self.name = f"{brand} {item}, {self.category.sizes[size]}"
        self.cost = Decimal(cents) / 100 * (1 + size) * Decimal(85 + int(random.random() * 30)) / 100
        self.by_weight = self.category.uom == "kg"

    def row(self) -> Row:
        place = self.number % 100
        return self.sku, self.name, self.category.name, self.category.uom, _FUTURE if place == 91 else None, _PAST if place == 57 else None  # noqa: PLR2004


class _Supplier:
    """A supplier: it sells in about a third of the categories."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.supplier_id = f"SUP-{number + 1:03d}"
        name, self.currency = SUPPLIERS[number % len(SUPPLIERS)]
        self.name = name if number < len(SUPPLIERS) else f"{name} ({number // len(SUPPLIERS) + 1})"
        self.gone = number % 25 == 24  # noqa: PLR2004

    def sells(self, category: Category) -> bool:
        return (CATEGORIES.index(category) + self.number) % 3 == 0

    def row(self) -> Row:
        minimum = _money(Decimal((0, 50, 100, 250)[self.number % 4]), self.currency)
        return self.supplier_id, self.name, self.currency, minimum, None, _PAST if self.gone else None


def _offers(random: Random, product: _Product, candidates: list[_Supplier], gone: list[_Supplier]) -> Iterator[Row]:
    start, count = int(random.random() * len(candidates)), 1 + int(random.random() * 3)
    chosen = [candidates[(start + n) % len(candidates)] for n in range(min(count, len(candidates)))]
    if product.number % 83 != 41:  # noqa: PLR2004
        for priority, supplier in enumerate(chosen, start=1):
            yield from _tiers(random, product, supplier, priority)
        return
    # Nobody to buy it from on any day: each of the four reasons in turn.
    match product.number // 83 % 4:
        case 1:
            yield _offer(random, product, chosen[0], 1, period=(None, _PAST))
        case 2:
            yield _offer(random, product, chosen[0], 0)
        case 3 if gone:
            yield _offer(random, product, gone[0], 1)
        case _:
            return


def _tiers(random: Random, product: _Product, supplier: _Supplier, priority: int) -> Iterator[Row]:
    """A supplier's rows for a product: its price, price breaks, a rise in the new year, an old or a coming offer."""
    offer = _offer(random, product, supplier, priority)
    kind = random.random()
    if kind < 0.4:  # noqa: PLR2004
        yield offer
        for times, discount in ((10, "0.95"), (50, "0.90"))[: 1 + int(random.random() * 2)]:
            yield _changed(offer, supplier, min_quantity=_moq(offer) * times, factor=Decimal(discount))
    elif kind < 0.5:  # noqa: PLR2004
        yield _changed(offer, supplier, period=(None, _YEAR_END))
        yield _changed(offer, supplier, period=(_NEW_YEAR, None), factor=Decimal("1.03"))
    elif kind < 0.54:  # noqa: PLR2004
        yield _changed(offer, supplier, period=(None, _PAST), factor=Decimal("0.97"))
        yield _changed(offer, supplier, period=(_PAST + dt.timedelta(1), None))
    elif kind < 0.58:  # noqa: PLR2004
        yield _changed(offer, supplier, period=(None, _FUTURE - dt.timedelta(1)))
        yield _changed(offer, supplier, period=(_FUTURE, None), factor=Decimal("1.10"))
    else:
        yield offer


def _offer(
    random: Random, product: _Product, supplier: _Supplier, priority: int, *, period: tuple[dt.date | None, dt.date | None] = (None, None)
) -> Row:
    pack = Decimal(product.category.packs[int(random.random() * len(product.category.packs))])
    moq = pack * (1, 1, 2, 5, 10)[int(random.random() * 5)]
    price = _money(product.cost * Decimal(94 + int(random.random() * 13)) / 100, supplier.currency)
    limit = moq * 1000 if random.random() < 0.05 else None  # noqa: PLR2004
    lead_time = 1 + int(random.random() * (5 if supplier.number % 3 else 28))
    return (supplier.supplier_id, product.sku, priority, Decimal(0), price, moq, pack, limit, lead_time, "up", *period)


_COLUMN = {column.name: place for place, column in enumerate(BY_NAME["supplier_products"].columns)}


def _moq(offer: Row) -> Decimal:
    moq = offer[_COLUMN["moq"]]
    return moq if isinstance(moq, Decimal) else _ONE


def _changed(
    offer: Row,
    supplier: _Supplier,
    *,
    min_quantity: Decimal = Decimal(0),
    factor: Decimal = _ONE,
    period: tuple[dt.date | None, dt.date | None] = (None, None),
) -> Row:
    """The offer from another quantity on, at another price, for another time."""
    price = offer[_COLUMN["unit_price"]]
    row = list(offer)
    row[_COLUMN["min_quantity"]] = min_quantity
    row[_COLUMN["unit_price"]] = _rounded(Decimal(str(price)) * factor, supplier.currency)
    row[_COLUMN["valid_from"]], row[_COLUMN["valid_to"]] = period
    return tuple(row)


def _parameters(random: Random, product: _Product, markets: list[str]) -> Iterator[Row]:
    chance = random.random()
    if chance < 0.45:  # noqa: PLR2004
        yield _parameter(product, None, _stock(random, product))
    if chance < 0.04 or chance > 0.98:  # noqa: PLR2004
        yield _parameter(product, markets[int(random.random() * len(markets))], _stock(random, product) * 2)


def _stock(random: Random, product: _Product) -> Decimal:
    units = Decimal(2 + int(random.random() * 30))
    return units + Decimal("0.5") if product.by_weight else units


def _parameter(product: _Product, market: str | None, safety: Decimal) -> Row:
    return product.sku, market, "net_requirement", safety, None, None, None


def _money(euros: Decimal, currency: str) -> Decimal:
    return _rounded(euros * Decimal(str(RATES[currency][0])), currency)


def _rounded(amount: Decimal, currency: str) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-RATES[currency][1]), ROUND_HALF_UP)


def _table(table: ReferenceTable, rows: Iterator[Row]) -> pa.Table:
    """The rows in the order `read_tables` gives them: by key, then by every column, NULL first, text by code point."""
    places = [table.column_names.index(name) for name in table.key]
    places += [place for place in range(len(table.columns)) if place not in places]
    ordered = sorted(rows, key=lambda row: [(row[place] is not None, row[place]) for place in places])
    columns = zip(*ordered, strict=True) if ordered else [()] * len(table.columns)
    return pa.table([pa.array(values, field.type) for values, field in zip(columns, table.arrow, strict=True)], schema=table.arrow)
