"""What a materialisation shows of a table: its columns, where each comes from, its first rows, and a small plot."""

import base64
from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape
from itertools import islice

import dagster as dg

from procurement_platform.csvs import cell
from procurement_platform.engines.queries import Lineage
from procurement_platform.lake.files import Lake
from procurement_platform.lake.parquet import footer, read_rows
from procurement_platform.lake.tables import Column

SHOWN, WHOLE = 60, 500  # characters of a cell: in a preview, and where it must be read to its end
NO_ROWS = "*(no rows)*"


def column_schema(columns: Sequence[Column]) -> dg.TableSchema:
    """A table's columns, with types and what they mean."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(c.name, type=c.type, description=c.doc, constraints=dg.TableColumnConstraints(nullable=not c.required))
            for c in columns
        ]
    )


def column_lineage(lineage: Lineage) -> dg.TableColumnLineage:
    """For each column the assets' columns it is computed from, read from the SQL file itself."""
    return dg.TableColumnLineage(
        deps_by_column={
            column: [dg.TableColumnDep(asset_key=asset, column_name=name) for asset, name in sources] for column, sources in lineage.items()
        }
    )


def lineage_table(lineage: Lineage) -> dg.MetadataValue:
    """The same for people: Dagster's own UI shows column lineage in its paid edition only."""
    lines = [
        f"| {column} | {', '.join(f'{asset}.{name}' for asset, name in sources) or '(no column of an asset)'} |"
        for column, sources in lineage.items()
    ]
    return dg.MetadataValue.md("\n".join(["| column | computed from |", "| --- | --- |", *lines]))


def preview(lake: Lake, files: Sequence[str], rows: int) -> dg.MetadataValue:
    """The first rows of Parquet files of one schema as a Markdown table."""
    names: list[str] = []
    first: list[dict[str, object]] = []
    for file in files:
        if len(first) >= rows:
            break
        names = footer(lake, file).schema.names
        first += islice(read_rows(lake, file, rows - len(first)), rows - len(first))
    return rows_table(names, (row.values() for row in first))


def rows_table(columns: Sequence[str], rows: Iterable[Iterable[object]], most: int = SHOWN) -> dg.MetadataValue:
    """Rows as a Markdown table; cells are shortened and cannot break the table."""
    lines = [f"| {' | '.join(_markdown(value, most) for value in row)} |" for row in rows]
    if not lines:
        return dg.MetadataValue.md(NO_ROWS)
    return dg.MetadataValue.md("\n".join([f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns), *lines]))


def bars(title: str, values: Sequence[tuple[str, Decimal]]) -> dg.MetadataValue:
    """A small bar chart as an image in Markdown: one bar per (label, value), in the order given."""
    if not values:
        return dg.MetadataValue.md("*(nothing to plot)*")
    largest = max(value for _, value in values) or Decimal(1)
    rows = []
    for place, (label, value) in enumerate(values):
        top, width = 30 + 22 * place, int(300 * value / largest)
        rows.append(
            f'<text x="110" y="{top + 13}" text-anchor="end">{escape(label[:16])}</text>'
            f'<rect x="118" y="{top}" width="{max(width, 1)}" height="16" fill="#4f43dd"/>'
            f'<text x="{124 + width}" y="{top + 13}">{value:,.0f}</text>'
        )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="520" height="{40 + 22 * len(values)}" font-family="sans-serif" font-size="12">'
        f'<text x="8" y="18" font-weight="bold">{escape(title)}</text>{"".join(rows)}</svg>'
    )
    return dg.MetadataValue.md(f"![{title}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})")


def _markdown(value: object, most: int) -> str:
    text = " ".join(cell(value).split())
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    return escape(text, quote=False).replace("|", "\\|").replace("`", "\\`")
