"""What a materialisation shows of a table: its columns, where each comes from, its first rows, and a small plot."""

import base64
from collections.abc import Sequence
from decimal import Decimal
from html import escape

import dagster as dg
import pyarrow.parquet as pq

from procurement_platform.csvs import cell
from procurement_platform.engines.queries import Lineage
from procurement_platform.lake.tables import Table

SHOWN = 60  # characters of a cell
# Relations of the SQL files that have another name as assets.
ASSET_OF = {name: f"reference_{name}" for name in ("markets", "products", "suppliers", "supplier_products", "planning_parameters")}


def column_schema(table: Table) -> dg.TableSchema:
    """The table's columns, with types and what they mean."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(c.name, type=c.type, description=c.doc, constraints=dg.TableColumnConstraints(nullable=not c.required))
            for c in table.columns
        ]
    )


def column_lineage(lineage: Lineage) -> dg.TableColumnLineage:
    """For each column the input columns it is computed from, read from the SQL file itself."""
    return dg.TableColumnLineage(
        deps_by_column={
            column: [dg.TableColumnDep(asset_key=ASSET_OF.get(relation, relation), column_name=name) for relation, name in sources]
            for column, sources in lineage.items()
        }
    )


def lineage_table(lineage: Lineage) -> dg.MetadataValue:
    """The same for people: Dagster's own UI shows column lineage in its paid edition only."""
    lines = [
        f"| {column} | {', '.join(f'{ASSET_OF.get(relation, relation)}.{name}' for relation, name in sources) or '(constant)'} |"
        for column, sources in lineage.items()
    ]
    return dg.MetadataValue.md("\n".join(["| column | computed from |", "| --- | --- |", *lines]))


def preview(files: Sequence[str], rows: int) -> dg.MetadataValue:
    """The first rows as a Markdown table; cells are shortened and cannot break the table."""
    if not files or not rows:
        return dg.MetadataValue.md("*(no rows)*")
    batch = next(pq.ParquetFile(files[0]).iter_batches(batch_size=rows), None)
    if batch is None:
        return dg.MetadataValue.md("*(no rows)*")
    header = " | ".join(batch.schema.names)
    lines = [" | ".join(_markdown(value) for value in row.values()) for row in batch.to_pylist()]
    return dg.MetadataValue.md("\n".join([f"| {header} |", "|" + " --- |" * len(batch.schema.names), *(f"| {line} |" for line in lines)]))


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


def _markdown(value: object) -> str:
    text = " ".join(cell(value).split())
    text = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
    return escape(text, quote=False).replace("|", "\\|").replace("`", "\\`")
