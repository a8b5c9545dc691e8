"""`docs/market-files.md`: what a market's files may look like, written from the contracts and the settings' defaults."""

from procurement_platform.inbox.contracts import Field
from procurement_platform.inbox.feeds import Feed
from procurement_platform.procurement.feeds import FEEDS
from procurement_platform.settings import Settings, variable

EXAMPLES = {
    "orders": """order_id,line_number,market,sku,quantity,unit_price,currency,ordered_at,customer_id
10001,1,DE,BAB-00001,12,7.99,EUR,2025-12-20T09:30:00,C-17
10001,2,DE,BAB-00002,1.5,0.8,EUR,2025-12-20T08:30:00Z,C-17
10002,,DE,BAB-00001,2,7.99,,2025-12-19 23:59,
""",
    "stock": """market,sku,available,reserved,counted_at,warehouse
DE,BAB-00001,40,3,2025-12-20T06:00:00,Nord
DE,BAB-00001,12.5,0,2025-12-20T06:00:00+01:00,Süd
DE,BAB-00002,0,0,,
""",
}
KEYS = {
    "orders": "market, `order_id` and `line_number`; where `line_number` is left out or empty, market, `order_id` and `sku`: an order that "
    "names the same SKU on two lines then needs line numbers, or its lines are duplicates or conflicts. The keys of the "
    f"{Settings.model_fields['duplicate_window_days'].default} days before (`PROCUREMENT_DUPLICATE_WINDOW_DAYS`) count, too.",
    "stock": "market, `sku` and `warehouse` (left out or empty is a warehouse of its own), within the day.",
}


SAME_KEY = (
    "Of rows of the same key that are equal in every column one counts, the others are DUPLICATE_ORDER; where their content differs, all "
    "of the day's are CONFLICTING_ORDER"
)
EARLIER = {"orders": ": what an earlier day accepted stays accepted there, until its file is corrected and that day run again."}


def market_files_page(from_code: str) -> str:
    """The page, below a line that says where it comes from."""
    lines = ["# Market files", "", from_code, "", *GENERAL.splitlines()]
    for feed in FEEDS:
        lines += [
            "",
            f"## {feed.name}",
            "",
            feed.contract.doc,
            "",
            "| column | also called | kind | rules | meaning |",
            "|---|---|---|---|---|",
        ]
        lines += [field_row(field) for field in feed.contract.fields]
        lines += ["", f"**Duplicates.** The key of a row is {KEYS[feed.name]} {SAME_KEY}{EARLIER.get(feed.name, '.')}"]
        lines += ["", *without_rows(feed), "", "An example:", "", "```csv", *EXAMPLES[feed.name].splitlines(), "```"]
    return "\n".join([*lines, "", *STOCK.splitlines()]) + "\n"


def without_rows(feed: Feed) -> list[str]:
    """What becomes of a file that has a header and no row."""
    if feed.contract.without_rows:
        return [f"**No rows.** A file with a header and no row is rejected: {feed.contract.without_rows}."]
    return ["**No rows.** A file with a header and no row is accepted: nothing was ordered. A file of 0 bytes is rejected."]


def field_row(field: Field) -> str:
    """A field as a line of a table."""
    also = ", ".join(f"`{name}`" for name in field.aliases)
    name = f"`{field.name}`" + (" (may be left out)" if field.optional else "")
    return f"| {name} | {also} | {kind(field)} | {'; '.join(rules(field))} | {field.doc} |"


def kind(field: Field) -> str:
    """A field's kind in words."""
    if field.kind == "decimal":
        return f"number, up to {field.precision - field.scale} digits before and {field.scale} after the point"
    return {"text": "text", "integer": "whole number, up to 9 digits", "instant": "time"}[field.kind]


def rules(field: Field) -> list[str]:
    """What a row must keep, in words."""
    told = []
    if field.above is not None:
        told.append(f"more than {field.above}")
    if field.at_least is not None:
        told.append(f"{field.at_least} or more")
    if field.limit:
        told.append(f"at most {Settings.model_fields[field.limit].default:,} (`{variable(field.limit)}`)")
    if field.window:
        days = Settings.model_fields[field.window].default
        told.append(f"from {days} days before the run date (`{variable(field.window)}`) to its end, in the market's time zone")
    if field.pattern:
        told.append(f"`{field.pattern}`")
    if field.role == "market":
        told.append("the market in the file's name")
    if field.role == "sku":
        told.append("a product that is active on the run date, else UNKNOWN_PRODUCT")
    return told


GENERAL = """A market sends one file or more per feed and day: `{LAKE}/inbox/{FEED}/{DATE}/{MARKET}[__anything].{FORMAT}`, or
`procurement put`. Rows that break a rule go to quarantine with the reason (`procurement quarantine DATE`); the others count. A file that
cannot be read, or none of whose rows is the market's, is rejected whole (`procurement files DATE`).

The quarantine shows a row as it was sent: a JSON object with the columns of the file, by the file's own names, or, where a text line cannot
be read as a row, the line. Cells are cut after 1,000 characters. Of a Parquet file a column that the contract does not have is unpacked
only where a row of it is shown; where it cannot be, as it is damaged or takes too much memory, its cell says so, and the file counts; so it
does where all of them together take too much, and none is shown.

- **Formats**: `.avro` (codecs null, deflate, snappy, zstandard, bzip2, xz), `.parquet`, `.csv`, `.csv.gz`, `.jsonl` (one JSON object a
  line).
- **Encoding**: text formats are UTF-8, with or without a byte order mark. Of a CSV or JSON lines file in Latin-1, the rows with a byte that
  is no UTF-8 are INVALID_ROW; an Avro or Parquet file with such a text in a column of the contract is rejected.
- **CSV**: a header line, then one row a line; `,`, `;` or tab between cells, whichever the header has most of. Cells may be quoted by `"`
  and then hold line ends; a quote in a cell is doubled. Excel's first line `sep=;` is not taken: remove it. Empty lines are skipped. A
  line of separators alone, as spreadsheets leave for rows that were filled once, is no row either: it keeps its number, and
  `procurement files` says how many there were.
- **Columns**: in any order, by the names below, without regard to case. A file with two columns that could be the same one (`Qty` and
  `qty`) is rejected, unless one has the very name below (`quantity`). Columns that the contract does not have are kept out and noted;
  those that may be left out are empty where they are.
- **Numbers**: a decimal point, no separators of thousands and no exponents: `1.200` is 1.2, and `1,200`, `1.200,50` and `1e3` are
  INVALID_ROW. Zeros beyond the places are fine, however many; other digits there are not: nothing is rounded. Floating point columns
  (Avro, Parquet) are refused: send decimals, whole numbers or text.
- **Times**: ISO 8601 with date and time (`2025-12-20T14:03:00+01:00`, `2025-12-20T13:03Z`, `2025-12-20 14:03:00.5`), as PostgreSQL prints
  them (`2025-12-20 14:03:00+01`), or a timestamp column. Digits of a fraction beyond microseconds must be zeros, up to nine in all. Without
  an offset it is the market's local time (`timezone` of the markets); of an hour that comes twice the first is meant, and a time that the
  clocks skip is INVALID_ROW.
- **Texts**: one line, up to 256 characters (`PROCUREMENT_MAX_CELL_CHARACTERS`). Blanks before and after it are no part of it, but codes
  (market, SKU, currency) have to be exact, without blanks, too.

## One file in several formats

`DE.csv`, `DE.avro` and `DE.csv.gz` of one day and feed are one file by name, and one of them counts. (To have both count, give one a
suffix: `DE__late.avro`.)

- What no run has seen counts in place of what was taken in, whatever the files' times. Of several that no run has seen the newest counts;
  of those of one time the last by name.
- Where that one cannot be read, the next one counts, and the one that cannot is told as INVALID_FILE. What was in use stays in use.
- The others are `superseded` (`procurement files DATE`). Such a file counts again when it is sent again: with other bytes, with another
  time, or by `procurement put`, which takes the others out of the inbox. It also counts while nothing else of the name can: the one in use
  was withdrawn, or breaks a limit.
- As long as the one that counts can be used, it is all the same which of them stay in the inbox."""

STOCK = """## What a stock file says, and what it leaves out

`procurement demand` shows for each market and SKU where its stock comes from (`stock_basis`):

| stock_basis | when | what follows |
|---|---|---|
| `counted` | accepted rows name the SKU | usable = available − reserved of each row, at least 0, over all warehouses |
| `zero` | an accepted file leaves the SKU out, or the market sends no stock files (`sends_stock`) | no stock |
| `unknown` | the file is missing or rejected, or a row of the SKU is in quarantine | nothing is ordered for it (STOCK_UNKNOWN) |

Where a market sends several stock files and one is rejected, or withdrawn after it had counted, what the others leave out is `unknown`,
until a file of its name is accepted. So it is where no row of a file can be used: a file of which every product is unknown, because its
codes are padded, say, does not say that all is sold out.

A row with more reserved than available counts 0 (STOCK_LOGIC). A quarantined stock row puts its SKU into the plan as an accepted one
does: a safety stock is withheld (or ordered) and told. One that does not tell its SKU makes every SKU unknown that no accepted row
counts. A quarantined orders row puts nothing into the plan: its units are in no demand, and its SKU is planned only where another
row, or planning parameters of the market, name it. A market whose `when_missing` is `compute` is planned as if unknown stock were none.

`counted_at` is kept with the row and read by nobody: a stock file counts for the day it is sent for, whenever it was counted."""
